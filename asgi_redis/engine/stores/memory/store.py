"""The store of ``InMemoryChannelLayer``: the memory of one process."""

from __future__ import annotations

import itertools
import time
from collections import OrderedDict, deque
from collections.abc import Iterator, Sequence

from asgi_redis.engine.facts import Found
from asgi_redis.engine.stores.memory.counters import MemoryCounters
from asgi_redis.engine.stores.memory.groups import MemoryGroups
from asgi_redis.engine.stores.memory.reports import MemoryReports
from asgi_redis.engine.stores.memory.steps import Stepper, step
from asgi_redis.engine.stores.memory.waiting import WaitingReceivers
from asgi_redis.engine.stores.store import ChannelCounters, Counters, Push, StoredMessage, StoredReport, Taken
from asgi_redis.process import fork
from asgi_redis.process.wakeup import WakeupPipe
from asgi_redis.wire.expiry import is_expired
from asgi_redis.wire.message import Counter, Limits

_SWEPT = 20  # queues that are looked at in one sweep
_SWEEP_PAUSE_SECONDS = 0.01  # between two sweeps, where there was nothing to remove
_LOOKED_AT = 500  # queues or groups that are looked at in one step, for a monitor

_Messages = deque[tuple[float, str, bytes]]  # when it was sent, its channel, the message


class MemoryStore(Stepper):
    """
    The messages and groups of one process.

    A forked process starts with an empty store. Expired messages are removed bit by bit, as messages are sent and
    groups are added to: also where no process reads. There is no limit to the memory except the capacities.
    """

    def start_process(self) -> None:
        """Start empty: the messages and receivers are the parent's."""
        super().start_process()
        self._start_empty()
        self._sweep_at = 0.0
        self._waiting = WaitingReceivers()

    def _start_empty(self) -> None:
        # The end holds the queues that were added or swept last.
        self._queues: OrderedDict[str, _Messages] = OrderedDict()
        self._groups = MemoryGroups()
        self._counters = MemoryCounters()
        self._reports = MemoryReports()

    @step
    def push(self, entries: Sequence[Push], expiry: float) -> list[bool | None]:
        """Put messages into their queues; return which were put, as ``Store.push`` says."""
        pushed: list[bool | None] = []
        waiting = self._waiting.pipes
        woken: set[WakeupPipe] = set()
        now = time.monotonic()
        for queue, channel, message, capacity in entries:
            messages = self._queues.get(queue)
            if messages is None:
                messages = self._queues[queue] = deque()
            if len(messages) >= capacity:
                self._drop_expired(queue, messages, now, expiry)
            room = len(messages) < capacity
            if room:
                messages.append((now, channel, message))
                if queue in waiting:
                    woken |= waiting[queue]
            self._counters.add_push(queue, room, now)
            pushed.append(room)
        if now >= self._sweep_at:
            self._sweep(now, expiry)
        for pipe in woken:
            pipe.wake()
        return pushed

    def _sweep(self, now: float, expiry: float) -> None:
        removed = False
        for _ in range(min(_SWEPT, len(self._queues))):
            queue, messages = next(iter(self._queues.items()))
            removed |= self._drop_expired(queue, messages, now, expiry)
            if messages:
                self._queues.move_to_end(queue)
            else:
                self._remove(queue)
        self._counters.sweep(now)
        self._sweep_at = now if removed else now + _SWEEP_PAUSE_SECONDS

    def _drop_expired(self, queue: str, messages: _Messages, now: float, expiry: float) -> bool:
        expired = 0
        while messages and is_expired(now - messages[0][0], expiry):
            messages.popleft()
            expired += 1
        if expired:
            self._counters.add_expired(queue, expired)
        return expired > 0

    def _remove(self, queue: str) -> None:
        del self._queues[queue]
        if "?" in queue:  # single-reader channels are used once
            self._counters.discard(queue)

    @step
    def pop(self, queues: Sequence[str], limit: int, expiry: float, limits: Limits = None) -> Taken:
        """Take up to ``limit`` messages, one of each queue in turn."""
        taken: Taken = []
        now = time.monotonic()
        sources: list[tuple[str, _Messages, int]] = []
        for queue in queues:
            messages = self._queues.get(queue)
            if messages:
                if is_expired(now - messages[0][0], expiry):
                    self._drop_expired(queue, messages, now, expiry)
                number = min(len(messages), limits.get(queue, limit) if limits else limit)
                if number > 0:
                    sources.append((queue, messages, number))
                    if len(sources) == limit:
                        break
        turn = 0
        while sources and len(taken) < limit:
            for queue, messages, _ in sources[: limit - len(taken)]:
                _, channel, message = messages.popleft()
                taken.append((queue, channel, message))
                if not messages and "?" in queue:
                    self._remove(queue)
            turn += 1
            sources = [source for source in sources if source[2] > turn]
        return taken

    @step
    def group_add(self, group: str, channel: str, group_expiry: float) -> None:
        """Add a channel to a group, or renew it."""
        self._groups.add(group, channel, time.monotonic(), group_expiry)

    @step
    def group_discard(self, group: str, channel: str) -> None:
        """Remove a channel from a group, if it is in there."""
        self._groups.discard(group, channel)

    @step
    def group_channels(self, group: str, group_expiry: float) -> list[str]:
        """Return the channels of a group that were added within ``group_expiry`` seconds."""
        return list(self._groups.channels(group, time.monotonic(), group_expiry))

    @step
    def count(self, queue: str, counter: Counter, number: int) -> None:
        """Add to a counter of a queue, as ``Store.count`` says."""
        self._counters.add(queue, counter, number, time.monotonic())

    @step
    def channel_statistics(self, queue: str, expiry: float) -> ChannelCounters:
        """Return the counters of a queue, and the number and age of its messages."""
        now = time.monotonic()
        messages = self._queues.get(queue, _Messages())
        self._drop_expired(queue, messages, now, expiry)
        oldest = now - messages[0][0] if messages else 0.0
        return ChannelCounters(self._counters.of(queue, now), len(messages), oldest)

    @step
    def global_statistics(self) -> Counters:
        """Return the counters of all queues."""
        return self._counters.of_all(time.monotonic())

    def sweep(self, group_expiry: float) -> Iterator[Found]:
        """Go through all queues and groups, some hundred at a step."""
        queues = list(dict.fromkeys(self._queue_names() + self._counted_names()))
        groups = self._group_names()
        for start in range(0, len(queues), _LOOKED_AT):
            yield Found(self._lengths(queues[start : start + _LOOKED_AT]), {})
        for start in range(0, len(groups), _LOOKED_AT):
            yield Found({}, self._sizes(groups[start : start + _LOOKED_AT], group_expiry))

    @step
    def _queue_names(self) -> list[str]:
        return list(dict.keys(self._queues))  # in no order, which is fifty times as fast

    @step
    def _counted_names(self) -> list[str]:
        return self._counters.queues()

    @step
    def _group_names(self) -> list[str]:
        return self._groups.groups()

    @step
    def _lengths(self, queues: Sequence[str]) -> dict[str, int]:
        now = time.monotonic()
        lengths = {queue: len(self._queues.get(queue, ())) for queue in queues}
        return {queue: length for queue, length in lengths.items() if length or self._is_seen_empty(queue, now)}

    def _is_seen_empty(self, queue: str, now: float) -> bool:
        return "?" not in queue and any(self._counters.of(queue, now))

    @step
    def _sizes(self, groups: Sequence[str], group_expiry: float) -> dict[str, int]:
        now = time.monotonic()
        sizes = {group: len(self._groups.channels(group, now, group_expiry)) for group in groups}
        return {group: size for group, size in sizes.items() if size}

    @step
    def peek(self, queue: str, limit: int, expiry: float) -> list[StoredMessage]:
        """Return the first messages of a queue that have not expired."""
        now = time.monotonic()
        messages = self._queues.get(queue, _Messages())
        self._drop_expired(queue, messages, now, expiry)
        first = itertools.islice(messages, limit)
        return [StoredMessage(channel, now - sent, message) for sent, channel, message in first]

    @step
    def purge(self, queue: str, expiry: float) -> int:
        """Remove the messages of a queue; return how many had not expired."""
        messages = self._queues.get(queue)
        if messages is None:
            return 0
        self._drop_expired(queue, messages, time.monotonic(), expiry)
        self._remove(queue)
        return len(messages)

    @step
    def report(self, process: str, report: bytes) -> str | None:
        """Store the report of a process; return the request that was left for it."""
        return self._reports.add(process, report, time.monotonic())

    @step
    def withdraw(self, process: str) -> None:
        """Remove the report of a process, and a request to it."""
        self._reports.discard(process)

    @step
    def reports(self) -> list[StoredReport]:
        """Return the reports that have not expired."""
        return self._reports.all(time.monotonic())

    @step
    def ask(self, process: str, request: str) -> bool:
        """Leave a request for a process; return whether there is a report of it."""
        return self._reports.ask(process, request, time.monotonic())

    @step
    def flush(self) -> None:
        """Remove all messages, groups, counters and reports."""
        self._start_empty()

    def close(self) -> None:
        """Close idle pipes. The messages stay: they are nowhere else."""
        fork.check()
        self._waiting.close_idle()

    def listen(self, queues: Sequence[str]) -> MemoryListener:
        """Return a listener to messages in any of ``queues``."""
        return MemoryListener(self, queues)

    @step
    def start_waiting(self, queues: Sequence[str]) -> WakeupPipe:
        """Return a pipe that is woken by each message to one of ``queues``."""
        return self._waiting.add(queues)

    @step
    def stop_waiting(self, queues: Sequence[str], pipe: WakeupPipe) -> None:
        """Release the pipe of ``start_waiting``."""
        self._waiting.remove(queues, pipe)


class MemoryListener:
    """Waits from its ``with`` on. A message wakes all receivers that wait for it."""

    look_seconds = 86400.0

    def __init__(self, store: MemoryStore, queues: Sequence[str]) -> None:
        self._store = store
        self._queues = queues

    def __enter__(self) -> MemoryListener:
        self._pipe = self._store.start_waiting(self._queues)
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._store.stop_waiting(self._queues, self._pipe)

    def fileno(self) -> int:
        """Return the descriptor to poll."""
        return self._pipe.fileno()

    def pop(self, queues: Sequence[str], limit: int, expiry: float, limits: Limits = None) -> Taken:
        """Take messages; it is unreadable until the next one comes."""
        self._pipe.clear()
        return self._store.pop(queues, limit, expiry, limits)

    def wake(self) -> None:
        """Make it readable; for any thread, and for signal handlers."""
        self._pipe.wake()
