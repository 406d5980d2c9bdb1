"""Frames of one websocket that were read and cannot be sent yet."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from typing import NamedTuple

from asgi_redis.interface.gate import Gate
from asgi_redis.wire import Witness
from asgi_redis.wire.message import Message

RECEIVE = "websocket.receive"

_MAX_FRAMES = 64
_MAX_BYTES = 64 * 1024


class Frame(NamedTuple):
    """A message for ``websocket.receive``, with its proof of sending and its size."""

    message: Message
    witness: Witness
    size: int


class ReadAhead:
    """
    Sends the frames of one websocket in order; holds some while they wait.

    A server that is not asked for frames does not see the answers to its pings either, and closes the websocket after
    some seconds. So a few frames are read while the first waits; then reading stops, and TCP pushes back.

    Args:
        gate: Sends the frames.
        failed: Called with the first frame that could not be sent, and the error. The frames behind it are dropped.
    """

    def __init__(self, gate: Gate, failed: Callable[[Frame, Exception], None]) -> None:
        self._gate = gate
        self._failed = failed
        self._frames: deque[Frame] = deque()
        self._size = 0
        self.sender: asyncio.Task[None] | None = None
        """The task that sends the frames that wait, to the last or until one of them fails."""
        self._room: asyncio.Future[None] | None = None

    async def add(self, frame: Frame) -> None:
        """Send a frame after those before it; return when another may be read."""
        self._frames.append(frame)
        self._size += frame.size
        if self.sender is None:
            try:
                rest = await self._gate.begin(RECEIVE, frame.message, frame.witness)
            except Exception as error:  # noqa: BLE001  it is the websocket's
                self._fail(error)
                return
            if rest is None:
                self._sent()
                return
            self.sender = asyncio.get_running_loop().create_task(self._send(rest))
        if len(self._frames) >= _MAX_FRAMES or self._size > _MAX_BYTES:
            self._room = asyncio.get_running_loop().create_future()
            await self._room

    def cancel(self) -> Frame | None:
        """Send no more; return the first frame that may not have been sent."""
        if not self._frames:
            return None
        if self.sender is not None:
            self.sender.cancel()
        first = self._frames[0]
        # Before Python 3.12, wait_for may swallow the cancellation: no other frame follows then.
        self._frames.clear()
        self._frames.append(first)
        return first

    async def _send(self, rest: Callable[[float | None], Awaitable[None]]) -> None:
        frames = self._frames
        try:
            await rest(None)
            self._sent()
            while frames:
                await self._gate.send(RECEIVE, frames[0].message, witness=frames[0].witness)
                self._sent()
        except Exception as error:  # noqa: BLE001  it is the websocket's
            self._fail(error)
        finally:
            self.sender = None

    def _fail(self, error: Exception) -> None:
        self._failed(self._frames[0], error)
        self._frames.clear()
        self._size = 0
        self._make_room()

    def _sent(self) -> None:
        self._size -= self._frames.popleft().size
        if len(self._frames) < _MAX_FRAMES // 2 and self._size <= _MAX_BYTES // 2:
            self._make_room()

    def _make_room(self) -> None:
        if self._room is not None and not self._room.done():
            self._room.set_result(None)
