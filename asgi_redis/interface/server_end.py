"""
The end of a server, as its websockets learn of it in time.

Some servers drop their connections as soon as they get SIGTERM, and have neither lifespan events nor a way to say so
to an application. So the signal is held back until the websockets are closed, and the server gets it then.
"""

from __future__ import annotations

import asyncio
import functools
import os
import signal
import socket
import threading
from collections.abc import Awaitable, Callable
from types import FrameType

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class ServerEnd:
    """
    Holds SIGINT and SIGTERM back while ``close`` runs; a second one goes through.

    Signals reach a server in two ways: by a handler, as under Twisted, and by the descriptor that an event loop is
    woken with, as by ``add_signal_handler`` of asyncio and uvloop. Both are passed on as they would have come.

    Args:
        loop: The event loop of the main thread, which calls this.
        close: Closes the websockets.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, close: Callable[[], Awaitable[None]]) -> None:
        self._loop = loop
        self._close = close
        self._held: list[Callable[[], object]] = []
        self._seen: set[tuple[str, int]] = set()
        self._task: asyncio.Task[None] | None = None
        for number in _SIGNALS:
            handler = signal.getsignal(number)
            if callable(handler):
                signal.signal(number, functools.partial(self._handle, handler))
        self._server_fd = signal.set_wakeup_fd(-1)
        if self._server_fd != -1:
            # Never closed: the interpreter may write to it as long as it runs.
            self._reader, self._writer = socket.socketpair()
            self._reader.setblocking(False)
            self._writer.setblocking(False)
            signal.set_wakeup_fd(self._writer.fileno(), warn_on_full_buffer=False)
            loop.add_reader(self._reader.fileno(), self._read)

    def _handle(
        self, handler: Callable[[int, FrameType | None], object], number: int, frame: FrameType | None
    ) -> None:
        """Take a signal in the place of the server's handler."""
        if ("handler", number) in self._seen or self._loop.is_closed():
            handler(number, frame)
            return
        self._seen.add(("handler", number))
        self._loop.call_soon_threadsafe(self._hold, functools.partial(handler, number, None))

    def _read(self) -> None:
        """Take signals in the place of the server's event loop."""
        for number in self._reader.recv(4096):
            pass_on = functools.partial(os.write, self._server_fd, bytes([number]))
            if number not in _SIGNALS or ("descriptor", number) in self._seen:
                pass_on()
            else:
                self._seen.add(("descriptor", number))
                self._hold(pass_on)

    def _hold(self, pass_on: Callable[[], object]) -> None:
        if self._task is not None and self._task.done():
            pass_on()
            return
        self._held.append(pass_on)
        if self._task is None:
            self._task = self._loop.create_task(self._end())

    async def _end(self) -> None:
        try:
            await self._close()
        finally:
            for pass_on in self._held:
                pass_on()


_watched: dict[int, asyncio.AbstractEventLoop] = {}  # by process


def watch_for_end(loop: asyncio.AbstractEventLoop, close: Callable[[], Awaitable[None]]) -> None:
    """Call ``close`` before the main thread's server gets SIGINT or SIGTERM."""
    if _watched.get(os.getpid()) is loop or threading.current_thread() is not threading.main_thread():
        return
    _watched.clear()
    _watched[os.getpid()] = loop
    ServerEnd(loop, close)
