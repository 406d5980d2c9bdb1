"""
The metrics of a channel layer, which each of its workers tells.

They are looked up for each scrape: channels, servers and delayed messages at once, and no longer than
``LOOKUP_SECONDS``. Where that fails those samples are missing, and ``runworker_layer_up`` is 0.
"""

from __future__ import annotations

import functools
import logging
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Generic, Literal, TypeVar

from redis.exceptions import RedisError

from asgi_redis.engine.facts import DelayedFacts, ServerFacts
from asgi_redis.exceptions import ChannelLayerError
from asgi_redis.layers.base import BaseChannelLayer
from asgi_redis.wire.message import ChannelStatistics
from workers.operations.exposition import family, labels

logger = logging.getLogger(__name__)

T = TypeVar("T")

LOOKUP_SECONDS = 0.6
SERVER_SECONDS = 0.4  # for each server to answer, so that the others are told in time

Statistics = Mapping[str, ChannelStatistics]
StatisticsKey = Literal[
    "messages_pending",
    "messages_max_age",
    "messages_count",
    "messages_expired",
    "channel_full_count",
    "messages_undecodable",
    "messages_requeued",
    "messages_retried",
]

# The key in the statistics of a channel; the kind, name and help text of the metric.
_OF_CHANNEL: tuple[tuple[StatisticsKey, str, str, str], ...] = (
    ("messages_pending", "gauge", "runworker_queue_messages", "Messages that wait in the channel"),
    ("messages_max_age", "gauge", "runworker_queue_age_seconds", "How long the oldest of them has waited"),
    ("messages_count", "counter", "runworker_queue_sent_total", "Messages that were sent to the channel"),
    (
        "messages_expired",
        "counter",
        "runworker_queue_expired_total",
        "Messages that expired before they were received",
    ),
    (
        "channel_full_count",
        "counter",
        "runworker_queue_refused_total",
        "Messages refused because the channel was full",
    ),
    (
        "messages_undecodable",
        "counter",
        "runworker_queue_undecodable_total",
        "Messages that were dropped because they could not be decoded or decrypted",
    ),
    ("messages_requeued", "counter", "runworker_queue_requeued_total", "Messages that were received and put back"),
    ("messages_retried", "counter", "runworker_queue_retried_total", "Messages that ConsumeLater sent again"),
)


class Lookup(Generic[T]):
    """A question to the layer, which no more than one thread waits for."""

    def __init__(self, name: str, ask: Callable[[], T]) -> None:
        self._name = name
        self._ask = ask
        self._thread: threading.Thread | None = None
        self._answer: T | None = None

    def start(self) -> None:
        """Ask, unless the last question is not answered yet."""
        if self._thread is None or not self._thread.is_alive():
            self._answer = None
            self._thread = threading.Thread(target=self._look_up, name=self._name, daemon=True)
            self._thread.start()

    def answer(self, deadline: float) -> T | None:
        """Return the answer; None where it fails, or takes until ``deadline``."""
        assert self._thread is not None, "a lookup is started first"
        self._thread.join(max(0.0, deadline - time.monotonic()))
        return None if self._thread.is_alive() else self._answer

    def _look_up(self) -> None:
        try:
            self._answer = self._ask()
        except (RedisError, ChannelLayerError, OSError) as error:
            logger.debug("No %s: %s: %s", self._name, type(error).__name__, error)
        except Exception:
            logger.exception("No %s", self._name)


class LayerMetrics:
    """The metrics of ``channels``, servers and delayed messages of a layer."""

    def __init__(self, layer: BaseChannelLayer, channels: Sequence[str]) -> None:
        inspector = layer.inspector
        self._statistics: Lookup[Statistics] | None = None
        self._servers: Lookup[list[ServerFacts]] | None = None
        self._delayed: Lookup[DelayedFacts] | None = None
        self._names: list[str] = []
        if "statistics" in layer.extensions:
            self._statistics = Lookup("statistics", functools.partial(layer.many_channel_statistics, channels))
        has_capacity = self._statistics is not None and hasattr(layer, "capacity")  # a layer of others may lack it
        self._capacities = {channel: layer.get_capacity(channel) for channel in channels} if has_capacity else {}
        if inspector is not None:
            self._servers = Lookup("facts about servers", functools.partial(inspector.servers, SERVER_SECONDS))
            if layer.delayed is not None:
                self._delayed = Lookup("facts about delayed messages", inspector.delayed)

    def text(self, reachable: bool) -> Iterator[str]:
        """Yield the metrics; of the servers alone unless the layer is ``reachable``."""
        # During an outage each other lookup would last until its end.
        statistics, delayed = (self._statistics, self._delayed) if reachable else (None, None)
        for lookup in (self._servers, statistics, delayed):
            if lookup is not None:
                lookup.start()
        deadline = time.monotonic() + LOOKUP_SECONDS
        if self._statistics is not None:
            yield from _of_channels(statistics.answer(deadline) if statistics else None)
        if self._capacities:
            values = [(labels({"channel": channel}), capacity) for channel, capacity in self._capacities.items()]
            yield family("runworker_queue_capacity", "gauge", "Messages that the channel holds at most", values)
        if self._servers is not None:
            yield from self._of_servers(self._servers.answer(deadline))
        if delayed is not None:
            yield from _of_delayed(delayed.answer(deadline))

    def _of_servers(self, found: Sequence[ServerFacts] | None) -> Iterator[str]:
        up = dict.fromkeys(self._names, 0)  # where it is not even known which servers there are
        if found is not None:
            up = {server.name: int(not server.error) for server in found}
            self._names = list(up)
        if up:
            samples = [(labels({"server": name}), value) for name, value in up.items()]
            yield family("runworker_server_up", "gauge", "Whether the server of the channel layer answers", samples)


def _of_channels(found: Statistics | None) -> Iterator[str]:
    text = "Whether the channel layer has said what waits"
    yield family("runworker_layer_up", "gauge", text, [("", int(bool(found)))])
    for key, kind, name, text in _OF_CHANNEL:
        values = [(labels({"channel": channel}), of[key]) for channel, of in (found or {}).items() if key in of]
        if values:
            yield family(name, kind, text, values)


def _of_delayed(found: DelayedFacts | None) -> Iterator[str]:
    if found is None:
        return
    late = max(0.0, -found.next_due) if found.next_due is not None else 0.0
    yield family(
        "runworker_delayed_messages", "gauge", "Delayed messages whose time has not come", [("", found.messages)]
    )
    text = "Delayed messages that were due, and wait because their channel is full"
    yield family("runworker_delayed_waiting_for_room", "gauge", text, [("", found.waiting_for_room)])
    text = "How long the next delayed message has been due: no worker delivers it"
    yield family("runworker_delayed_late_seconds", "gauge", text, [("", late)])
