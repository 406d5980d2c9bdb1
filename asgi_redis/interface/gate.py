"""The way from connections to the channels of workers."""

from __future__ import annotations

import asyncio
import functools
import random
import time
from collections.abc import Awaitable, Callable

from redis.exceptions import ConnectionError, RedisError, TimeoutError

from asgi_redis.aio import AsyncChannelLayer
from asgi_redis.connection import is_unsent
from asgi_redis.exceptions import ChannelFull
from asgi_redis.wire import Witness
from asgi_redis.wire.message import Message

_FIRST_DELAY_SECONDS = 0.01
_LONGEST_DELAY_SECONDS = 0.5
_ENOUGH_SENT = 8  # in a row, and each at once


class _Line:
    """The messages that wait for one channel. ``error`` is the reason."""

    def __init__(self, error: Exception) -> None:
        self.turn = asyncio.Lock()
        self.length = 0
        self.error = error
        self._sent = 0  # in a row, since one had to wait

    def note_sent(self) -> None:
        """Note that a message went out at once."""
        self._sent += 1

    def note_error(self, error: Exception) -> None:
        """Note that messages have to wait."""
        self._sent = 0
        self.error = error

    @property
    def moves(self) -> bool:
        """Whether messages go out again, and none waits for the reply to another."""
        return self._sent >= _ENOUGH_SENT


class Gate:
    """
    Sends messages; they line up where a channel is full or Redis is away.

    The first in a line tries again and again, the others wait for their turn. Once some went out at once, one after
    the other, the line breaks up: a round trip for each would be slower than what keeps coming. A message goes out
    once at most: it is tried again only where Redis has certainly not seen it, or can tell by a witness.

    Args:
        layer: The layer to send on.
        full_timeout: Seconds that a message waits at a full channel.
        outage_timeout: Seconds that a message waits for a Redis that is away.
    """

    def __init__(self, layer: AsyncChannelLayer, full_timeout: float, outage_timeout: float) -> None:
        self._layer = layer
        self._full_timeout = full_timeout
        self._outage_timeout = outage_timeout
        # By channel and loop. A line exists only while messages wait in it.
        self._lines: dict[tuple[str, asyncio.AbstractEventLoop], _Line] = {}

    async def send_now(self, channel: str, message: Message) -> None:
        """Send without waiting. Raises all that the layer raises."""
        await self._layer.send(channel, message)

    async def send(
        self, channel: str, message: Message, timeout: float | None = None, witness: Witness | None = None
    ) -> None:
        """
        Send; wait for room and for Redis up to the two timeouts, or ``timeout``.

        Raises:
            ChannelFull: There was no room in time.
            RedisError: Redis was not back in time, or refuses the message. Without a ``witness`` the message may or
                may not have been sent.
        """
        rest = await self.begin(channel, message, witness)
        if rest is not None:
            await rest(timeout)

    async def begin(
        self, channel: str, message: Message, witness: Witness | None = None
    ) -> Callable[[float | None], Awaitable[None]] | None:
        """
        Send; where that takes waiting, return a function that does the rest.

        It takes the ``timeout`` of ``send``. Raises as ``send`` does.
        """
        attempt = _Attempt(self._layer, channel, message, witness)
        key = (channel, asyncio.get_running_loop()) if self._lines else None
        line = None if key is None else self._lines.get(key)
        if line is None or line.moves:
            error = await attempt.make()
            if error is None:
                return None
            line = self._lines.setdefault((channel, asyncio.get_running_loop()), _Line(error))
            line.note_error(error)
        return functools.partial(self._stand_in, line, channel, attempt)

    async def _stand_in(self, line: _Line, channel: str, attempt: _Attempt, timeout: float | None) -> None:
        begin = time.monotonic()
        line.length += 1
        try:
            while not await self._take_turn(line, attempt, begin, timeout):
                pass
        except asyncio.TimeoutError:
            raise line.error from None
        finally:
            line.length -= 1
            key = channel, asyncio.get_running_loop()
            if not line.length and self._lines.get(key) is line:
                del self._lines[key]

    async def _take_turn(self, line: _Line, attempt: _Attempt, begin: float, timeout: float | None) -> bool:
        """Send when it is this message's turn; return False to have another turn."""
        left = begin + self._limit(line.error, timeout) - time.monotonic()
        await asyncio.wait_for(line.turn.acquire(), left)
        try:
            if not line.moves:
                await self._try_again(line, attempt, begin, timeout)
                return True
        finally:
            line.turn.release()
        error = await attempt.make()
        if error is not None:
            line.note_error(error)
        return error is None

    async def _try_again(self, line: _Line, attempt: _Attempt, begin: float, timeout: float | None) -> None:
        error = await attempt.make()
        if error is None:
            line.note_sent()
        delay = _FIRST_DELAY_SECONDS
        while error is not None:
            line.note_error(error)
            if time.monotonic() - begin >= self._limit(error, timeout):
                raise error
            # Random, so that the lines of many processes do not all come back in the same moment.
            await asyncio.sleep(delay * random.uniform(0.5, 1.0))
            delay = min(delay * 2, _LONGEST_DELAY_SECONDS)
            error = await attempt.make()

    def _limit(self, error: Exception, timeout: float | None) -> float:
        if timeout is not None:
            return timeout
        return self._full_timeout if isinstance(error, ChannelFull) else self._outage_timeout


class _Attempt:
    """A message, and the way to send it as often as it takes."""

    def __init__(self, layer: AsyncChannelLayer, channel: str, message: Message, witness: Witness | None) -> None:
        repeatable = None if witness is None else layer.repeatable_send(channel, message, witness)
        self._may_repeat = repeatable is not None
        self._send = repeatable or functools.partial(layer.send, channel, message)

    async def make(self) -> Exception | None:
        """Send; return an error after which it may be sent again, and raise others."""
        try:
            await self._send()
        except ChannelFull as error:
            return error
        except RedisError as error:
            if is_unsent(error) or (self._may_repeat and isinstance(error, (ConnectionError, TimeoutError))):
                return error
            raise
        return None
