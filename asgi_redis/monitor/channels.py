"""The table of channels: queues with their statistics, rates and marks."""

from __future__ import annotations

import functools
import itertools
import time
from collections.abc import Iterator, Mapping
from typing import Any

from asgi_redis.layers.base import BaseChannelLayer
from asgi_redis.monitor.calls import BudgetedCalls
from asgi_redis.monitor.rates import Look, Rates, rates
from asgi_redis.monitor.readers import Readers
from asgi_redis.monitor.snapshot import Row
from asgi_redis.wire.names import is_channel_name

_AT_ONCE = 100  # channels that are looked up in one step
_IN_USE_SECONDS = 60.0

FULL = "full"
NO_READER = "no reader"
UNREAD = "unread"
EXPIRING = "expiring"

_OPTIONAL = "http.disconnect"  # interfaces send it, though few projects have a consumer for it


class ChannelTable:
    """
    Makes the rows of channels, and remembers their counters for the rates.

    Args:
        layer: The layer.
        calls: Makes the monitor's calls.
        limit: The most rows.
    """

    def __init__(self, layer: BaseChannelLayer, calls: BudgetedCalls, limit: int) -> None:
        self._layer = layer
        self._calls = calls
        self._limit = limit
        self._looks: dict[str, Look] = {}
        self._in_use: dict[str, float] = {}  # when it last had messages

    def rows(self, waiting: Mapping[str, int], readers: Readers | None) -> list[Row]:
        """
        Return the rows of the channels with the most messages, these first.

        Channels that processes read, and channels with messages within the last minute, have a row when they are
        empty, too.

        Args:
            waiting: The messages by queue, the most first.
            readers: The readers; None if they are not known.
        """
        read = readers.channels if readers else []
        names = dict.fromkeys(itertools.chain(waiting, read, self._in_use))
        shown = list(itertools.islice(filter(is_channel_name, names), self._limit))
        looks, made = self._looks, []
        self._looks = {}
        for name, counters, moment in self._statistics(shown, waiting):
            reading = readers.of(name) if readers else None
            made.append(self._row(name, counters, looks.get(name), moment, reading))
        self._note_use(made)
        return sorted(made, key=lambda row: (-row["waiting"], row["channel"]))

    def _note_use(self, rows: list[Row]) -> None:
        now = time.monotonic()
        before = {name: moment for name, moment in self._in_use.items() if now - moment < _IN_USE_SECONDS}
        busy = (row for row in rows if row["waiting"] or row["in_per_second"] or row["out_per_second"])
        self._in_use = {**before, **{row["channel"]: now for row in busy}}
        while len(self._in_use) > self._limit:
            del self._in_use[min(self._in_use, key=self._in_use.__getitem__)]

    def _statistics(
        self, names: list[str], waiting: Mapping[str, int]
    ) -> Iterator[tuple[str, Mapping[str, Any], float]]:
        for start in range(0, len(names), _AT_ONCE):
            batch = names[start : start + _AT_ONCE]
            found: Mapping[str, Mapping[str, Any]] = {}
            if "statistics" in self._layer.extensions:
                found = self._calls.attempt(functools.partial(self._layer.many_channel_statistics, batch), {})
            moment = time.monotonic()
            for name in batch:
                yield name, {"messages_pending": waiting.get(name, 0), **found.get(name, {})}, moment

    def _row(
        self, name: str, counters: Mapping[str, Any], before: Look | None, moment: float, readers: int | None
    ) -> Row:
        waiting = counters["messages_pending"]
        between: Rates | None = None
        if "messages_count" in counters:
            self._looks[name] = look = Look.at(moment, counters, waiting)
            between = rates(before, look, self._layer.expiry, readers)
        row = {
            "channel": name,
            "waiting": waiting,
            "oldest": counters.get("messages_max_age", 0.0),
            "capacity": self._layer.get_capacity(name),
            "in_per_second": between and round(between.incoming, 3),
            "out_per_second": between and round(between.outgoing, 3),
            **counters,
            "readers": readers,
        }
        return {**row, "marks": _marks(row, before, between)}


def _marks(row: Row, before: Look | None, between: Rates | None) -> list[str]:
    if row["channel"] == _OPTIONAL and row["readers"] == 0:
        return []
    waits, stands = row["waiting"] > 0, not row["out_per_second"]
    marks = {
        FULL: row["waiting"] >= row["capacity"],
        NO_READER: waits and stands and row["readers"] == 0,
        UNREAD: waits and stands and before is not None and before.waiting > 0,
        EXPIRING: between is not None and between.expired > 0,
    }
    return [mark for mark, holds in marks.items() if holds]
