"""Sends the messages of a response, as fast as its client takes them."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from typing import Any

from redis.exceptions import ConnectionError, TimeoutError

from workers.asgi import adapted
from workers.channel import send_persistently
from workers.message import Message

logger = logging.getLogger(__name__)

BLOCKED_SECONDS = 30.0
ACKNOWLEDGED_SECONDS = 120.0
LOOK_SECONDS = 1.0
PAUSE_SECONDS = 0.25
_BATCH = 16


class ResponseSender:
    """
    Sends one response to the client of a request.

    A request has an ``ack_channel`` and a ``window`` where its interface acknowledges the bytes that it has written
    to the client: then at most ``window`` bytes are under way.
    """

    def __init__(self, request: Message) -> None:
        if request.reply_channel is None:
            raise ValueError(f"a message on channel {request.channel} has no reply_channel to answer on")
        self._channel = request.reply_channel
        self._layer = adapted(request.channel_layer)
        self._ack_channel: str | None = request.get("ack_channel")
        self._window: int = request.get("window") or 0
        self._sent = self._written = 0
        self._gone = False
        self._looked_at = time.monotonic()

    def send(self, reply: dict[str, Any]) -> bool:
        """
        Send a message of the response, in several where it is larger than fits.

        Returns:
            Whether to go on, which is False when the client has gone, or takes nothing for two minutes.

        Raises:
            ChannelFull: The reply channel was full for half a minute.
            RedisError: The layer's server was away for as long.
        """
        for part in self._parts(reply):
            size = len(part.get("content") or b"")
            if self._ack_channel is not None:
                self._wait_for_room(self._ack_channel, size)
                if self._gone:
                    return False
            self._send(part)
            self._sent += size
        return True

    def _parts(self, reply: dict[str, Any]) -> Iterator[dict[str, Any]]:
        """
        Yield a message in parts of half a window at most.

        The last half of a response is not always acknowledged.
        """
        content = reply.get("content") or b""
        most = self._window // 2
        if self._ack_channel is None or not most or len(content) <= most:
            yield reply
            return
        for begin in range(0, len(content), most):
            last = begin + most >= len(content)
            part = {"content": content[begin : begin + most], "more_content": not last or reply.get("more_content")}
            yield part if begin else {**reply, **part}

    def _wait_for_room(self, ack_channel: str, size: int) -> None:
        """
        Wait until the window has room.

        Looks at least once a second whether the client is still there.
        """
        if time.monotonic() - self._looked_at >= LOOK_SECONDS:
            self._look(ack_channel, 0.0)
        deadline = time.monotonic() + ACKNOWLEDGED_SECONDS
        while not self._gone and 0 < self._window < self._sent + size - self._written:
            left = max(0.0, deadline - time.monotonic())
            if self._look(ack_channel, left):
                deadline = time.monotonic() + ACKNOWLEDGED_SECONDS
            elif left == 0.0:
                logger.warning("A response to %s is cut: nothing taken for %g s", self._channel, ACKNOWLEDGED_SECONDS)
                self._gone = True

    def _look(self, ack_channel: str, timeout: float) -> bool:
        """Receive acknowledgements; return whether there were any."""
        try:
            acknowledged = self._layer.receive_batch([ack_channel], _BATCH, timeout)
        except (ConnectionError, TimeoutError):
            # Its server is away. What may be lost with that does no harm: the next one has the total, too.
            time.sleep(PAUSE_SECONDS)
            return False
        self._looked_at = time.monotonic()
        for _, message in acknowledged:
            self._gone = self._gone or bool(message.get("closed"))
            self._written = max(self._written, message.get("written", 0))
        return bool(acknowledged)

    def _send(self, reply: dict[str, Any]) -> None:
        send_persistently(self._channel, reply, time.monotonic(), BLOCKED_SECONDS)
