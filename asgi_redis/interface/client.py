"""The connection of one client: the base of requests and websockets."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from asgi_redis.interface.asgi import Receive, Scope, Send
from asgi_redis.interface.outbox import Outbox
from asgi_redis.interface.services import Services


class ClientConnection:
    """A connection: a task that reads, an outbox, a reply channel and a timer."""

    def __init__(self, services: Services, scope: Scope, receive: Receive, send: Send) -> None:
        self.loop = asyncio.get_running_loop()
        self.channel = ""
        """The reply channel, once there is one."""
        self._services = services
        self._settings = services.settings
        self._scope = scope
        self._path: str = scope["path"]
        self._receive = receive
        self._send = send
        self._outbox = Outbox(self.loop, send, self._written, self._failed)
        self._reader: asyncio.Task[None] | None = None
        self._timer: asyncio.TimerHandle | None = None

    def _written(self, size: int, last: bool) -> None:
        """Note that an event was written; see ``Outbox``."""
        raise NotImplementedError

    def _failed(self, error: Exception) -> None:
        """Note that the client cannot be written to; see ``Outbox``."""
        raise NotImplementedError

    def _after(self, seconds: float, call: Callable[[], object]) -> None:
        """Call once, in place of the call that waits for its time."""
        self._stop_timer()
        self._timer = self.loop.call_later(seconds, call)

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()

    def _release(self) -> None:
        """Stop reading and writing, and receive no more replies."""
        if self._reader is not None:
            self._reader.cancel()
        self._stop_timer()
        self._services.replies.remove(self.channel)
        self._outbox.clear()

    def _warn(self, event: str, reason: object) -> None:
        self._services.notices.add(event, self._path, reason)
