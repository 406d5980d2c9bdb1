"""The store of ``InMemoryChannelLayer``: the memory of one process."""

from __future__ import annotations

import _thread  # whose RLock gevent leaves as it is: all hubs and native threads share the store
import functools
import time
from collections import OrderedDict, deque
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar, cast

from asgi_redis.engine.stores.store import ChannelCounters, Counters, Entry
from asgi_redis.exceptions import UnsafeSignalHandler
from asgi_redis.process import fork
from asgi_redis.process.wakeup import WakeupPipe
from asgi_redis.wire.expiry import is_expired

HOUR = 3600.0  # a queue's counters are kept for that after the last message
DAY = 86400.0  # all of them together
_COUNTED = 100_000  # queues whose counters are kept, at most
_SWEPT = 2  # queues that are looked at for each that may be new: a round over all of them ends, then

_Messages = deque[tuple[float, str, bytes]]  # when it was sent, its channel, the message


class _Counters:
    __slots__ = ("expired", "last", "refused", "sent")

    def __init__(self) -> None:
        self.sent = self.refused = self.expired = 0
        self.last = 0.0

    def count(self, sent: bool, now: float) -> None:
        self.sent += sent
        self.refused += not sent
        self.last = now


Step = TypeVar("Step", bound=Callable[..., Any])


def _step(method: Step) -> Step:
    """Lets no other step come between, and none of a signal handler or finaliser in the midst of it."""

    @functools.wraps(method)
    def step(self: MemoryStore, *arguments: Any) -> Any:
        fork.check()
        with self._lock:
            if self._busy:
                raise UnsafeSignalHandler(
                    "a signal handler cannot use the layer: it has interrupted a call that does"
                )
            self._busy = True
            try:
                return method(self, *arguments)
            finally:
                self._busy = False

    return cast("Step", step)


class MemoryStore:
    """
    Messages and groups in this process. A process that is forked from it starts with an empty store of its own.

    What has expired is removed bit by bit, as messages are sent and groups are added to: also where nobody reads.
    """

    def __init__(self) -> None:
        self.start_process()
        fork.register(self)

    def start_process(self) -> None:
        """Starts empty, with nothing that was somebody else's."""
        self._lock = _thread.RLock()
        self._busy = False
        # Whichever was added or swept last is at the end of these two.
        self._queues: OrderedDict[str, _Messages] = OrderedDict()
        self._groups: OrderedDict[str, dict[str, float]] = OrderedDict()  # channels, the latest added last
        self._counters: OrderedDict[str, _Counters] = OrderedDict()  # the latest used last
        self._total = _Counters()
        self._waiting: dict[str, set[WakeupPipe]] = {}
        self._idle_waiters: deque[WakeupPipe] = deque(maxlen=100)

    @_step
    def push(self, entries: Sequence[tuple[str, str, bytes, int]], expiry: float) -> list[bool | None]:
        """See ``Store``. There is no limit to the memory but the capacities."""
        pushed: list[bool | None] = []
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
                woken.update(self._waiting.get(queue, ()))
            self._count(queue, room, now)
            pushed.append(room)
        self._sweep(now, expiry, _SWEPT * len(entries))
        for waiter in woken:
            waiter.wake()
        return pushed

    def _count(self, queue: str, sent: bool, now: float) -> None:
        counters = self._counters.get(queue)
        if counters is None or now - counters.last > HOUR:
            counters = self._counters[queue] = _Counters()
        self._counters.move_to_end(queue)
        counters.count(sent, now)
        if now - self._total.last > DAY:
            self._total = _Counters()
        self._total.count(sent, now)

    def _sweep(self, now: float, expiry: float, most: int) -> None:
        for _ in range(min(most, len(self._queues))):
            queue, messages = next(iter(self._queues.items()))
            if messages and is_expired(now - messages[0][0], expiry):
                self._drop_expired(queue, messages, now, expiry)
            if messages:
                self._queues.move_to_end(queue)
            else:
                self._remove(queue)
        while self._counters and (
            len(self._counters) > _COUNTED or now - next(iter(self._counters.values())).last > HOUR
        ):
            self._counters.popitem(last=False)

    def _drop_expired(self, queue: str, messages: _Messages, now: float, expiry: float) -> None:
        expired = 0
        while messages and is_expired(now - messages[0][0], expiry):
            messages.popleft()
            expired += 1
        if expired:
            self._total.expired += expired
            counters = self._counters.get(queue)
            if counters is not None:
                counters.expired += expired

    def _remove(self, queue: str) -> None:
        del self._queues[queue]
        if "?" in queue:  # single-reader channels are used once
            self._counters.pop(queue, None)

    @_step
    def pop(
        self, queues: Sequence[str], limit: int, expiry: float, limits: Mapping[str, int] | None = None
    ) -> list[tuple[str, Entry]]:
        """See ``Store``."""
        taken: list[tuple[str, Entry]] = []
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
                sent, channel, message = messages.popleft()
                taken.append((queue, Entry(channel, message, now - sent)))
                if not messages and "?" in queue:
                    self._remove(queue)
            turn += 1
            sources = [source for source in sources if source[2] > turn]
        return taken

    @_step
    def group_add(self, group: str, channel: str, group_expiry: float) -> None:
        """See ``Store``."""
        now = time.monotonic()
        channels = self._groups.setdefault(group, {})
        channels.pop(channel, None)  # the order is that of the adding
        channels[channel] = now
        for _ in range(min(_SWEPT, len(self._groups))):
            self._sweep_group(next(iter(self._groups)), now, group_expiry)

    @_step
    def group_discard(self, group: str, channel: str) -> None:
        """See ``Store``."""
        channels = self._groups.get(group, {})
        channels.pop(channel, None)
        if not channels:
            self._groups.pop(group, None)

    @_step
    def group_channels(self, group: str, group_expiry: float) -> list[str]:
        """See ``Store``."""
        if group not in self._groups:
            return []
        return list(self._sweep_group(group, time.monotonic(), group_expiry))

    def _sweep_group(self, group: str, now: float, group_expiry: float) -> dict[str, float]:
        channels = self._groups[group]
        expired = []
        for channel, added in channels.items():
            if not is_expired(now - added, group_expiry):
                break
            expired.append(channel)
        for channel in expired:
            del channels[channel]
        if channels:
            self._groups.move_to_end(group)
        else:
            del self._groups[group]
        return channels

    @_step
    def channel_statistics(self, queue: str, expiry: float) -> ChannelCounters:
        """See ``Store``."""
        now = time.monotonic()
        messages = self._queues.get(queue)
        if messages:
            self._drop_expired(queue, messages, now, expiry)
        counters = self._counters.get(queue)
        if counters is None or now - counters.last > HOUR:
            counters = _Counters()
        pending, oldest = (len(messages), now - messages[0][0]) if messages else (0, 0.0)
        return ChannelCounters(counters.sent, counters.refused, counters.expired, pending, oldest)

    @_step
    def global_statistics(self) -> Counters:
        """See ``Store``."""
        total = self._total if time.monotonic() - self._total.last <= DAY else _Counters()
        return Counters(total.sent, total.refused, total.expired)

    @_step
    def flush(self) -> None:
        """See ``Store``."""
        for held in (self._queues, self._groups, self._counters):
            held.clear()
        self._total = _Counters()

    def listen(self, queues: Sequence[str]) -> MemoryListener:
        """See ``Store``."""
        return MemoryListener(self, queues)

    def close(self) -> None:
        """See ``Store``. Keeps the messages: they are nowhere else."""
        fork.check()
        self._idle_waiters.clear()

    @_step
    def _start_waiting(self, queues: Sequence[str]) -> WakeupPipe:
        try:
            waiter = self._idle_waiters.pop()
        except IndexError:
            waiter = WakeupPipe()
        for queue in queues:
            self._waiting.setdefault(queue, set()).add(waiter)
        return waiter

    @_step
    def _stop_waiting(self, queues: Sequence[str], waiter: WakeupPipe) -> None:
        for queue in queues:
            waiters = self._waiting.get(queue, set())
            waiters.discard(waiter)
            if not waiters:
                self._waiting.pop(queue, None)
        waiter.clear()
        self._idle_waiters.append(waiter)


class MemoryListener:
    """Waits from its ``with`` on. A message wakes all receivers that wait for it."""

    look_seconds = DAY

    def __init__(self, store: MemoryStore, queues: Sequence[str]) -> None:
        self._store = store
        self._queues = queues

    def __enter__(self) -> MemoryListener:
        self._waiter = self._store._start_waiting(self._queues)
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._store._stop_waiting(self._queues, self._waiter)

    def fileno(self) -> int:
        """See ``Listener``."""
        return self._waiter.fileno()

    def pop(
        self, queues: Sequence[str], limit: int, expiry: float, limits: Mapping[str, int] | None = None
    ) -> list[tuple[str, Entry]]:
        """See ``Listener``."""
        self._waiter.clear()
        return self._store.pop(queues, limit, expiry, limits)

    def wake(self) -> None:
        """See ``Listener``."""
        self._waiter.wake()
