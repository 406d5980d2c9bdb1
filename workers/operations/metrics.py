"""
``--metrics-port``: what Prometheus asks for, over HTTP.

What the worker has done is counted as it does it. What waits in the channel layer is looked up for each scrape, for
all channels at once and no longer than ``LOOKUP_SECONDS``; where it cannot be, those samples are missing, and
``runworker_layer_up`` is 0.
"""

from __future__ import annotations

import bisect
import contextlib
import itertools
import logging
import threading
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from queue import Empty, SimpleQueue
from typing import Callable, Literal

from redis.exceptions import RedisError

from asgi_redis.exceptions import ChannelLayerError
from asgi_redis.layers.base import BaseChannelLayer
from asgi_redis.wire.message import ChannelStatistics
from asgi_redis.wire.names import queue_of
from workers.exceptions import ConfigurationError
from workers.operations.exposition import family, labels, sample
from workers.operations.http import HttpServer
from workers.runtime.hooks import HookedWorker, LifecycleHook

logger = logging.getLogger(__name__)

BUCKETS = (0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1, 5, 10, 60, 300)  # seconds
LOOKUP_SECONDS = 0.6

Statistics = Mapping[str, ChannelStatistics]
Counted = Literal["messages_pending", "messages_max_age", "messages_expired"]

_LOOKED_UP: tuple[tuple[Counted, str, str, str], ...] = (
    ("messages_pending", "gauge", "runworker_queue_messages", "Messages that wait in the channel"),
    ("messages_max_age", "gauge", "runworker_queue_age_seconds", "How long the oldest of them has waited"),
    (
        "messages_expired",
        "counter",
        "runworker_queue_expired_total",
        "Messages that expired before they were received",
    ),
)


class Metrics(LifecycleHook):
    """
    Serves the metrics of the worker at an address, ``(host, port)``.

    Raises ``ConfigurationError`` when something else is there.
    """

    def __init__(self, address: tuple[str, int]) -> None:
        self._report: Report | None = None
        self._server = serve(address, self._document)

    def start(self, worker: HookedWorker) -> None:
        """Begins to count."""
        self._report = Report(worker)
        logger.info("Metrics are at http://%s:%d/metrics", *self._server.address)

    def stop(self) -> None:
        """Ends the server."""
        self._server.close()

    def _document(self) -> bytes:
        return b"" if self._report is None else self._report.text().encode()


def serve(address: tuple[str, int], document: Callable[[], bytes]) -> HttpServer:
    """Starts to serve what ``document`` returns. Raises ``ConfigurationError`` where the address cannot be had."""
    host, port = address
    try:
        return HttpServer(address, document)
    except (OSError, UnicodeError) as error:  # the latter for a name that cannot be one of a host
        reason = getattr(error, "strerror", None) or error
        raise ConfigurationError(f"cannot serve metrics on {host}:{port}: {reason}") from error


class Series:
    """What a worker counts for one channel; ``labelled`` are the labels of its samples."""

    def __init__(self, labelled: str) -> None:
        self.labelled = labelled
        self.messages = 0
        self.errors = 0
        self._seconds = 0.0
        self._buckets = [0] * (len(BUCKETS) + 1)
        self._lock = threading.Lock()
        self._duration = (-1, "")  # the samples of the histogram, and the number of messages that they are of

    def count(self, seconds: float, failed: bool) -> None:
        """Counts a message that took so long."""
        with self._lock:
            self.messages += 1
            self.errors += failed
            self._seconds += seconds
            self._buckets[bisect.bisect_left(BUCKETS, seconds)] += 1

    def duration(self) -> str:
        """Returns the samples of the histogram; most channels have had no message since the last scrape."""
        with self._lock:
            messages, seconds, buckets = self.messages, self._seconds, list(self._buckets)
        if self._duration[0] != messages:
            name, limits = "runworker_duration_seconds", [*map(str, map(float, BUCKETS)), "+Inf"]
            samples = [
                sample(f"{name}_bucket", f'{self.labelled},le="{limit}"', number)
                for limit, number in zip(limits, itertools.accumulate(buckets))
            ]
            samples += [
                sample(f"{name}_count", self.labelled, messages),
                sample(f"{name}_sum", self.labelled, seconds),
            ]
            self._duration = messages, "".join(samples)
        return self._duration[1]


class Report:
    """The metrics of a worker, from now on; ``process`` is its label where there are several of them."""

    def __init__(self, worker: HookedWorker, process: str | None = None) -> None:
        self._worker = worker
        self._own = {} if process is None else {"process": process}
        self._series = {name: Series(labels({"channel": name, **self._own})) for name in worker.channels}
        self._lookup = Lookup(worker.channel_layer, worker.channels)
        worker.dispatcher.observers.append(self._count)

    def text(self, of_layer: bool = True) -> str:
        """Returns them; also what is the same for all workers on the layer, if that is wanted, but for an outage."""
        return "".join([*self._of_process(), *(self._of_layer() if of_layer else ())])

    def _count(self, channel: str, consumer: str, seconds: float, failed: bool) -> None:
        self._series[queue_of(channel)].count(seconds, failed)

    def _of_process(self) -> Iterator[str]:
        series = self._series.values()
        yield family(
            "runworker_messages_total",
            "counter",
            "Messages that were run",
            (sample("runworker_messages_total", each.labelled, each.messages) for each in series),
        )
        yield family(
            "runworker_errors_total",
            "counter",
            "Those among them that failed",
            (sample("runworker_errors_total", each.labelled, each.errors) for each in series),
        )
        durations = (each.duration() for each in series)
        yield family("runworker_duration_seconds", "histogram", "How long they ran", durations)
        running = Counter(queue_of(running.channel) for running in self._worker.dispatcher.running())
        yield family(
            "runworker_in_progress",
            "gauge",
            "Messages in progress",
            (sample("runworker_in_progress", each.labelled, running[name]) for name, each in self._series.items()),
        )
        undecodable = self._worker.channel_layer.undecodable_count
        if undecodable is not None:
            name = "runworker_undecodable_total"
            text = "Messages that were dropped because they could not be decoded or decrypted"
            yield family(name, "counter", text, [sample(name, labels(self._own), undecodable)])

    def _of_layer(self) -> Iterator[str]:
        if not self._lookup.possible:
            return
        # During an outage a lookup would last until its end.
        found = self._lookup.statistics() if self._worker.popping else None
        up = sample("runworker_layer_up", "", int(bool(found)))
        yield family("runworker_layer_up", "gauge", "Whether the channel layer has said what waits", [up])
        for key, kind, name, text in _LOOKED_UP:
            samples = [
                sample(name, labels({"channel": channel}), of[key])
                for channel, of in (found or {}).items()
                if key in of
            ]
            if samples:
                yield family(name, kind, text, samples)


class Lookup:
    """The statistics of channels, from a layer that may have none, and may take its time."""

    def __init__(self, channel_layer: BaseChannelLayer, channels: Iterable[str]) -> None:
        self._layer = channel_layer
        self._channels = list(channels)
        self._results: SimpleQueue[Statistics | None] = SimpleQueue()
        self._running = False
        # They are an extension of ASGI.
        self.possible = "statistics" in channel_layer.extensions

    def statistics(self) -> Statistics | None:
        """
        Returns them by channel, without those that the layer refuses; None where they take more than a moment.

        One thread at a time looks them up, however many scrapes there are while a server hangs.
        """
        with contextlib.suppress(Empty):
            self._results.get_nowait()  # one that came too late for its scrape
            self._running = False
        if not self._running:
            threading.Thread(target=self._look_up, name="statistics", daemon=True).start()
            self._running = True
        try:
            found = self._results.get(timeout=LOOKUP_SECONDS)
        except Empty:
            return None
        self._running = False
        return found

    def _look_up(self) -> None:
        found: Statistics | None = None
        try:
            found = self._layer.many_channel_statistics(self._channels)
        except (RedisError, ChannelLayerError, OSError) as error:
            logger.debug("No statistics: %s: %s", type(error).__name__, error)
        except Exception:
            logger.exception("No statistics")
        finally:
            self._results.put(found)
