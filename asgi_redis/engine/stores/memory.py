"""The store of ``InMemoryChannelLayer``: the memory of one process."""

from __future__ import annotations

import _thread  # whose RLock gevent leaves as it is: all hubs and native threads share the store
import functools
import time
from collections import OrderedDict, deque
from collections.abc import Callable, Iterable, Sequence
from typing import Any, TypeVar, cast

from asgi_redis.engine.stores.store import KEPT_SECONDS, TOTAL_KEPT_SECONDS, ChannelCounters, Counters, Push, Taken
from asgi_redis.exceptions import UnsafeSignalHandler
from asgi_redis.process import fork
from asgi_redis.process.wakeup import WakeupPipe
from asgi_redis.wire.expiry import is_expired
from asgi_redis.wire.message import Limits

_COUNTED = 100_000  # queues whose counters are kept, at most
_SWEPT = 20  # queues that are looked at in one sweep
_SWEPT_GROUPS = 2  # groups that are looked at for each that may be new
_SWEEP_PAUSE_SECONDS = 0.01  # between two sweeps, where there was nothing to remove

_Messages = deque[tuple[float, str, bytes]]  # when it was sent, its channel, the message
_Step = TypeVar("_Step", bound=Callable[..., Any])


class _Counters:
    __slots__ = ("expired", "last", "refused", "sent")

    def __init__(self) -> None:
        self.sent = self.refused = self.expired = 0
        self.last = 0.0


def _step(method: _Step) -> _Step:
    """Run no other step meanwhile, not even one of a signal handler or finaliser."""

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

    return cast("_Step", step)


class MemoryStore:
    """
    The messages and groups of one process.

    A forked process starts with an empty store. Expired messages are removed bit by bit, as messages are sent and
    groups are added to: also where no process reads. There is no limit to the memory except the capacities.
    """

    def __init__(self) -> None:
        self.start_process()
        fork.register(self)

    def start_process(self) -> None:
        """Start empty: the messages and receivers are the parent's."""
        self._lock = _thread.RLock()
        self._busy = False
        # The end of these two holds the queues and groups that were added or swept last.
        self._queues: OrderedDict[str, _Messages] = OrderedDict()
        self._groups: OrderedDict[str, OrderedDict[str, float]] = OrderedDict()  # channels, the latest added last
        self._counters: OrderedDict[str, _Counters] = OrderedDict()  # the latest used last
        self._total = _Counters()
        self._sweep_at = 0.0
        self._waiting: dict[str, set[WakeupPipe]] = {}
        self._idle_pipes: deque[WakeupPipe] = deque(maxlen=100)

    @_step
    def push(self, entries: Sequence[Push], expiry: float) -> list[bool | None]:
        """Put messages into their queues; return which were put, as ``Store.push`` says."""
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
                if queue in self._waiting:
                    woken |= self._waiting[queue]
            self._count(queue, room, now)
            pushed.append(room)
        if now >= self._sweep_at:
            self._sweep(now, expiry)
        for pipe in woken:
            pipe.wake()
        return pushed

    def _count(self, queue: str, sent: bool, now: float) -> None:
        counters, total = self._counters.get(queue), self._total
        if counters is None or now - counters.last > KEPT_SECONDS:
            counters = self._counters[queue] = _Counters()
            if len(self._counters) > _COUNTED:
                self._counters.popitem(last=False)
        self._counters.move_to_end(queue)
        if now - total.last > TOTAL_KEPT_SECONDS:
            total = self._total = _Counters()
        counters.last = total.last = now
        if sent:
            counters.sent += 1
            total.sent += 1
        else:
            counters.refused += 1
            total.refused += 1

    def _sweep(self, now: float, expiry: float) -> None:
        removed = False
        for _ in range(min(_SWEPT, len(self._queues))):
            queue, messages = next(iter(self._queues.items()))
            removed |= self._drop_expired(queue, messages, now, expiry)
            if messages:
                self._queues.move_to_end(queue)
            else:
                self._remove(queue)
        while self._counters and now - next(iter(self._counters.values())).last > KEPT_SECONDS:
            self._counters.popitem(last=False)
        self._sweep_at = now if removed else now + _SWEEP_PAUSE_SECONDS

    def _drop_expired(self, queue: str, messages: _Messages, now: float, expiry: float) -> bool:
        expired = 0
        while messages and is_expired(now - messages[0][0], expiry):
            messages.popleft()
            expired += 1
        if expired:
            self._total.expired += expired
            counters = self._counters.get(queue)
            if counters is not None:
                counters.expired += expired
        return expired > 0

    def _remove(self, queue: str) -> None:
        del self._queues[queue]
        if "?" in queue:  # single-reader channels are used once
            self._counters.pop(queue, None)

    @_step
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

    @_step
    def group_add(self, group: str, channel: str, group_expiry: float) -> None:
        """Add a channel to a group, or renew it."""
        now = time.monotonic()
        channels = self._groups.setdefault(group, OrderedDict())
        channels[channel] = now
        channels.move_to_end(channel)
        for _ in range(min(_SWEPT_GROUPS, len(self._groups))):
            self._sweep_group(next(iter(self._groups)), now, group_expiry)

    @_step
    def group_discard(self, group: str, channel: str) -> None:
        """Remove a channel from a group, if it is in there."""
        channels = self._groups.get(group)
        if channels is not None:
            channels.pop(channel, None)
            if not channels:
                del self._groups[group]

    @_step
    def group_channels(self, group: str, group_expiry: float) -> list[str]:
        """Return the channels of a group that were added within ``group_expiry`` seconds."""
        if group not in self._groups:
            return []
        return list(self._sweep_group(group, time.monotonic(), group_expiry))

    def _sweep_group(self, group: str, now: float, group_expiry: float) -> Iterable[str]:
        channels = self._groups[group]
        while channels and is_expired(now - next(iter(channels.values())), group_expiry):
            channels.popitem(last=False)
        if channels:
            self._groups.move_to_end(group)
        else:
            del self._groups[group]
        return channels

    @_step
    def channel_statistics(self, queue: str, expiry: float) -> ChannelCounters:
        """Return the counters of a queue, and the number and age of its messages."""
        now = time.monotonic()
        messages = self._queues.get(queue, _Messages())
        self._drop_expired(queue, messages, now, expiry)
        counters = self._counters.get(queue)
        if counters is None or now - counters.last > KEPT_SECONDS:
            counters = _Counters()
        oldest = now - messages[0][0] if messages else 0.0
        return ChannelCounters(counters.sent, counters.refused, counters.expired, len(messages), oldest)

    @_step
    def global_statistics(self) -> Counters:
        """Return the counters of all queues."""
        total = self._total if time.monotonic() - self._total.last <= TOTAL_KEPT_SECONDS else _Counters()
        return Counters(total.sent, total.refused, total.expired)

    @_step
    def flush(self) -> None:
        """Remove all messages, groups and counters."""
        for held in (self._queues, self._groups, self._counters):
            held.clear()
        self._total = _Counters()

    def close(self) -> None:
        """Close idle pipes. The messages stay: they are nowhere else."""
        fork.check()
        self._idle_pipes.clear()

    def listen(self, queues: Sequence[str]) -> MemoryListener:
        """Return a listener to messages in any of ``queues``."""
        return MemoryListener(self, queues)

    @_step
    def start_waiting(self, queues: Sequence[str]) -> WakeupPipe:
        """Return a pipe that is woken by each message to one of ``queues``."""
        try:
            pipe = self._idle_pipes.pop()
        except IndexError:
            pipe = WakeupPipe()
        for queue in queues:
            self._waiting.setdefault(queue, set()).add(pipe)
        return pipe

    @_step
    def stop_waiting(self, queues: Sequence[str], pipe: WakeupPipe) -> None:
        """Release the pipe of ``start_waiting``."""
        for queue in queues:
            pipes = self._waiting.get(queue, set())
            pipes.discard(pipe)
            if not pipes:
                self._waiting.pop(queue, None)
        pipe.clear()
        self._idle_pipes.append(pipe)


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
