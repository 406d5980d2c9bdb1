"""The counters of a store in memory. Its steps take turns."""

from __future__ import annotations

from collections import OrderedDict

from asgi_redis.engine.stores.store import KEPT_SECONDS, TOTAL_KEPT_SECONDS, Counters
from asgi_redis.wire.message import COUNTERS, Counter

_COUNTED = 100_000  # queues whose counters are kept, at most


class _QueueCounters:
    __slots__ = ("events", "expired", "last", "refused", "sent")

    def __init__(self) -> None:
        self.sent = self.refused = self.expired = 0
        self.events: dict[Counter, int] = {}  # that are rare
        self.last = 0.0

    def add(self, counter: Counter, number: int, now: float) -> None:
        self.events[counter] = self.events.get(counter, 0) + number
        self.last = now

    def read(self) -> Counters:
        counted = (self.sent, self.refused, self.expired, 0, 0, 0)
        return Counters(*(number + self.events.get(counter, 0) for counter, number in zip(COUNTERS, counted)))


class MemoryCounters:
    """The counters of each queue, and of all together. Times are those of the caller."""

    def __init__(self) -> None:
        self._queues: OrderedDict[str, _QueueCounters] = OrderedDict()  # the latest used last
        self._total = _QueueCounters()

    def add_push(self, queue: str, sent: bool, now: float) -> None:
        """Count a message that was sent, or else refused."""
        counters, total = self._queues.get(queue), self._total
        if counters is None or now - counters.last > KEPT_SECONDS:
            counters = self._make(queue)
        self._queues.move_to_end(queue)
        if now - total.last > TOTAL_KEPT_SECONDS:
            total = self._total = _QueueCounters()
        counters.last = total.last = now
        if sent:
            counters.sent += 1
            total.sent += 1
        else:
            counters.refused += 1
            total.refused += 1

    def _make(self, queue: str) -> _QueueCounters:
        counters = self._queues[queue] = _QueueCounters()
        if len(self._queues) > _COUNTED:
            self._queues.popitem(last=False)
        return counters

    def add(self, queue: str, counter: Counter, number: int, now: float) -> None:
        """Add to a counter of a queue, and of all, as ``Store.count`` says."""
        if now - self._total.last > TOTAL_KEPT_SECONDS:
            self._total = _QueueCounters()
        self._total.add(counter, number, now)
        if not queue or "?" in queue:
            return
        counters = self._queues.get(queue)
        if counters is None or now - counters.last > KEPT_SECONDS:
            counters = self._make(queue)
        counters.add(counter, number, now)
        self._queues.move_to_end(queue)

    def add_expired(self, queue: str, number: int) -> None:
        """Count messages that had expired."""
        self._total.expired += number
        counters = self._queues.get(queue)
        if counters is not None:
            counters.expired += number

    def of(self, queue: str, now: float) -> Counters:
        """Return the counters of a queue."""
        counters = self._queues.get(queue)
        if counters is None or now - counters.last > KEPT_SECONDS:
            return Counters()
        return counters.read()

    def of_all(self, now: float) -> Counters:
        """Return the counters of all queues together."""
        return Counters() if now - self._total.last > TOTAL_KEPT_SECONDS else self._total.read()

    def queues(self) -> list[str]:
        """Return the queues that have counters."""
        return list(dict.keys(self._queues))  # in no order, which is fifty times as fast

    def discard(self, queue: str) -> None:
        """Remove the counters of a queue that is gone; those of all stay."""
        self._queues.pop(queue, None)

    def sweep(self, now: float) -> None:
        """Remove the counters that are too old."""
        while self._queues and now - next(iter(self._queues.values())).last > KEPT_SECONDS:
            self._queues.popitem(last=False)
