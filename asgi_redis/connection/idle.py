"""Idle connections; under gevent's patches each belongs to the hub that made it."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from typing import Any
from weakref import WeakValueDictionary

from asgi_redis.process.patches import is_patched, original

_LIMIT = 100  # connections; more are closed

Idle = tuple[Any, float]  # the connection, and when it was released


def idle_connections() -> deque[Idle] | IdleOfHub:
    """Return an empty collection of idle connections."""
    return IdleOfHub() if is_patched("socket") else deque(maxlen=_LIMIT)


class IdleOfHub:
    """
    The idle connections of the hub that asks.

    gevent's sockets wait in the hub that they were made for, and each native thread has a hub. A thread that ends
    closes the connections that it leaves.
    """

    def __init__(self) -> None:
        self._thread = original("threading", "local")()
        self._all: WeakValueDictionary[int, deque[Idle]] = WeakValueDictionary()

    def _own(self) -> deque[Idle]:
        from gevent import get_hub

        hub = get_hub()
        own: deque[Idle]
        try:
            owner, own = self._thread.idle
            if owner is hub:
                return own
        except AttributeError:
            pass  # the first call in this thread
        own = deque(maxlen=_LIMIT)
        self._thread.idle = hub, own
        self._all[id(own)] = own
        return own

    def pop_of_others(self) -> Any | None:
        """Return a connection of another hub, which this one can close, or None."""
        own = self._own()
        for idle in self._all.values():
            try:
                if idle is not own:
                    return idle.popleft()[0]
            except IndexError:
                continue  # nothing is idle there
        return None

    def append(self, idle: Idle) -> None:
        """Add a connection."""
        self._own().append(idle)

    def pop(self) -> Idle:
        """Return the connection that was added last. Raises ``IndexError`` for none."""
        return self._own().pop()

    def popleft(self) -> Idle:
        """Return the connection that was added first. Raises ``IndexError`` for none."""
        return self._own().popleft()

    def appendleft(self, idle: Idle) -> None:
        """Put back the connection that ``popleft`` has returned."""
        self._own().appendleft(idle)

    def __iter__(self) -> Iterator[Idle]:
        return iter(self._own())

    def __getitem__(self, position: int) -> Idle:
        return self._own()[position]

    def __setitem__(self, position: int, idle: Idle) -> None:
        self._own()[position] = idle

    def __len__(self) -> int:
        return len(self._own())
