"""Events on their way to one client."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable

from asgi_redis.interface.asgi import Event, Send

_EVENT_BYTES = 100  # that an event takes up besides its content


class Outbox:
    """
    Writes events in order; a task does that while there are any.

    Args:
        loop: The event loop of the connection.
        send: The server's function that writes an event. It waits while the client does not read.
        written: Called with the size of each event that was written, and whether it was the last of all.
        failed: Called with the error of ``send`` where the client has gone.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        send: Send,
        written: Callable[[int, bool], None],
        failed: Callable[[Exception], None],
    ) -> None:
        self.size = 0
        """The bytes of the events that are not written, the current one included."""
        self._loop = loop
        self._send = send
        self._written = written
        self._failed = failed
        self._events: deque[tuple[Event, int, bool]] = deque()
        self._task: asyncio.Task[None] | None = None

    def has_room(self, size: int, limit: int) -> bool:
        """Return whether an event fits under ``limit`` bytes; one alone always does."""
        return not self._events or self.size + size + _EVENT_BYTES <= limit

    def put(self, event: Event, size: int = 0, last: bool = False) -> None:
        """Write an event after those before it."""
        self._events.append((event, size, last))
        self.size += size + _EVENT_BYTES
        if self._task is None:
            self._task = self._loop.create_task(self._write())

    def clear(self) -> None:
        """Drop the events, and stop writing."""
        self._events.clear()
        self.size = 0
        if self._task is not None:
            self._task.cancel()
            self._task = None

    async def _write(self) -> None:
        task = self._task
        events = self._events
        try:
            while events and self._task is task:
                event, size, last = events[0]
                await self._send(event)
                if self._task is not task:
                    return  # cleared
                events.popleft()
                self.size -= size + _EVENT_BYTES
                self._written(size, last)
        except Exception as error:  # noqa: BLE001  each server has other errors for a client who has gone
            if self._task is task:
                events.clear()
                self.size = 0
                self._task = None  # so that another event can be put
                self._failed(error)
        finally:
            if self._task is task:
                self._task = None
