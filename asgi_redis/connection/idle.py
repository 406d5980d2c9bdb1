"""Idle connections: under gevent's patches each belongs to the hub that has made it."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from typing import Any
from weakref import WeakValueDictionary

from asgi_redis.process.patches import is_patched, original

_KEPT = 100  # connections; more are closed

Idle = tuple[Any, float]  # the connection, and when it was given back


def idle_connections() -> deque[Idle] | IdleOfHub:
    """Returns what idle connections are kept in, the last one given back first."""
    return IdleOfHub() if is_patched("socket") else deque(maxlen=_KEPT)


class IdleOfHub:
    """
    Those of the hub that asks.

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
        own = deque(maxlen=_KEPT)
        self._thread.idle = hub, own
        self._all[id(own)] = own
        return own

    def pop_of_others(self) -> Any | None:
        """Returns a connection that another hub keeps, which this one can close, or None."""
        own = self._own()
        for kept in self._all.values():
            try:
                if kept is not own:
                    return kept.popleft()[0]
            except IndexError:
                continue  # nothing is idle there
        return None

    def append(self, idle: Idle) -> None:
        """Keeps a connection."""
        self._own().append(idle)

    def pop(self) -> Idle:
        """Returns the connection that was kept last. Raises ``IndexError`` when there is none."""
        return self._own().pop()

    def popleft(self) -> Idle:
        """Returns the connection that was kept first. Raises ``IndexError`` when there is none."""
        return self._own().popleft()

    def appendleft(self, idle: Idle) -> None:
        """Puts back what ``popleft`` has returned."""
        self._own().appendleft(idle)

    def __iter__(self) -> Iterator[Idle]:
        return iter(self._own())

    def __getitem__(self, position: int) -> Idle:
        return self._own()[position]

    def __setitem__(self, position: int, idle: Idle) -> None:
        self._own()[position] = idle

    def __len__(self) -> int:
        return len(self._own())
