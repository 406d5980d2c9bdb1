"""``Monitor``: a thread keeps the current picture of a layer."""

from __future__ import annotations

import functools
import logging
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from asgi_redis.engine.facts import DelayedFacts, ProcessEntry, ServerFacts
from asgi_redis.layers.base import BaseChannelLayer
from asgi_redis.monitor.calls import CALL_ERRORS, BudgetedCalls
from asgi_redis.monitor.channels import ChannelTable
from asgi_redis.monitor.groups import GroupTable
from asgi_redis.monitor.rates import Look, Rates, rates
from asgi_redis.monitor.readers import Readers
from asgi_redis.monitor.snapshot import Row, Snapshot
from asgi_redis.monitor.survey import Survey

if TYPE_CHECKING:
    from typing_extensions import Self

logger = logging.getLogger("asgi_redis")

DEFAULT_INTERVAL_SECONDS = 2.0
MAX_ROWS = 200
"""The most rows of a table of channels or groups."""

_DUE_NEXT = 20
_JOIN_SECONDS = 5.0
_NO_DELAYED = DelayedFacts(0, 0, None, ())


class Monitor:
    """
    Keeps the current picture of a layer, while it is open.

    A thread refreshes it, with less than a tenth of the time of a server and without write access. Errors of Redis
    are shown in the picture, and end nothing. The memory does not grow with the number of channels, but for their
    names while a sweep lasts. A layer without inspector or registry shows less.

    Args:
        layer: A synchronous layer.
        interval: Seconds between two pictures, at least.
    """

    def __init__(self, layer: BaseChannelLayer, interval: float = DEFAULT_INTERVAL_SECONDS) -> None:
        self._layer = layer
        self.interval = interval
        self._closing = threading.Event()
        self._calls = BudgetedCalls(self._closing)
        inspector = layer.inspector
        self._survey = Survey(inspector, self._calls, MAX_ROWS) if inspector else None
        self._channels = ChannelTable(layer, self._calls, MAX_ROWS)
        self._groups = GroupTable(layer, self._calls, MAX_ROWS)
        self._totals = Totals(layer, self._calls)
        self._servers: list[ServerFacts] = []
        self._processes: Sequence[ProcessEntry] = ()
        self._delayed = _NO_DELAYED
        self._changed = threading.Condition()
        self._snapshot = self._picture([], [], {})
        self._pictures = 0
        self._thread: threading.Thread | None = None

    def snapshot(self) -> Snapshot:
        """Return the latest picture, which is not to be changed; an empty one at first."""
        return self._snapshot

    def wait(self, ready: Callable[[Snapshot], bool], timeout: float) -> Snapshot:
        """Return the first ``ready`` picture, or the latest after ``timeout`` seconds."""
        with self._changed:
            self._changed.wait_for(lambda: self._pictures > 0 and ready(self._snapshot), timeout)
            return self._snapshot

    def __enter__(self) -> Self:
        self._closing.clear()
        self._thread = threading.Thread(target=self._run, name="monitor", daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._closing.set()
        if self._thread is not None:
            self._thread.join(_JOIN_SECONDS)

    # The thread

    def _run(self) -> None:
        while not self._closing.is_set():
            started = time.monotonic()
            try:
                self._refresh()
            except Exception as error:
                logger.exception("The monitor could not make its picture of %s", self._layer)
                self._calls.note(error, started)
                self._publish({**self._snapshot, "time": time.time(), "error": self._calls.take_errors()})
            self._closing.wait(max(0.0, started + self.interval - time.monotonic()))

    def _refresh(self) -> None:
        # The first three go on without a server that hangs; all others would wait for it.
        self._look_at_servers()
        ended = self._sweep(time.monotonic() + self.interval)
        self._look_at_delayed()
        totals = self._totals.row(self._survey, ended)
        readers = Readers(self._processes) if self._layer.registry else None
        latest = self._survey.latest if self._survey else None
        channels = self._channels.rows(latest.queues.numbers if latest else {}, readers)
        groups = self._groups.rows(latest.groups.numbers if latest else {})
        self._publish(self._picture(channels, groups, totals))

    def _look_at_servers(self) -> None:
        if self._layer.inspector:
            self._servers = self._calls.attempt(self._layer.inspector.servers, self._servers)
        if self._layer.registry:
            self._processes = self._calls.attempt(self._layer.registry.processes, self._processes)

    def _look_at_delayed(self) -> None:
        if self._layer.inspector:
            call = functools.partial(self._layer.inspector.delayed, _DUE_NEXT)
            self._delayed = self._calls.attempt(call, self._delayed)

    def _sweep(self, until: float) -> bool:
        """Go on with the sweep; return whether it has ended."""
        while self._survey and not (self._calls.hangs or self._closing.is_set() or time.monotonic() > until):
            started = time.monotonic()
            try:
                if self._survey.advance():
                    return True
            except CALL_ERRORS as error:
                self._calls.note(error, started)
                break
        return False

    # The picture

    def _picture(self, channels: list[Row], groups: list[Row], totals: Row) -> Snapshot:
        delayed = self._delayed
        return {
            "time": time.time(),
            "layer": str(self._layer),
            "expiry": self._layer.expiry,
            "complete": self._survey is None or self._survey.sweeps > 0,
            "error": self._calls.take_errors(),
            "servers": [server._asdict() for server in self._servers],
            "totals": totals,
            "channels": channels,
            "groups": groups,
            "delayed": {
                "messages": delayed.messages,
                "waiting_for_room": delayed.waiting_for_room,
                "next_due": delayed.next_due,
                "first": [{"channel": channel, "due": due} for channel, due in delayed.first],
            },
            "processes": [{**report, "process": process, "age": age} for process, age, report in self._processes],
        }

    def _publish(self, snapshot: Snapshot) -> None:
        with self._changed:
            self._snapshot = snapshot
            self._pictures += 1
            self._changed.notify_all()


class Totals:
    """Makes the row of totals, of the layer's counters and of sweeps."""

    def __init__(self, layer: BaseChannelLayer, calls: BudgetedCalls) -> None:
        self._layer = layer
        self._calls = calls
        self._counters: Mapping[str, Any] = {}
        self._look: Look | None = None
        self._rates: Rates | None = None

    def row(self, survey: Survey | None, ended: bool) -> Row:
        """Return the totals; the rates are those between the ends of the last two sweeps."""
        if "statistics" in self._layer.extensions:
            self._counters = self._calls.attempt(self._layer.global_statistics, self._counters)
        queues, groups = (survey.latest.queues, survey.latest.groups) if survey else (None, None)
        waiting = queues.total if queues else 0
        if ended and "messages_count" in self._counters:
            look = Look.at(time.monotonic(), self._counters, waiting)
            self._rates, self._look = rates(self._look, look, self._layer.expiry), look
        return {
            **self._counters,
            "waiting": waiting,
            "channels": queues.count if queues else 0,
            "groups": groups.count if groups else 0,
            "in_per_second": self._rates and round(self._rates.incoming, 3),
            "out_per_second": self._rates and round(self._rates.outgoing, 3),
        }
