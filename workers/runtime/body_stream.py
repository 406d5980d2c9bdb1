"""
The body of a request, as a file.

The first part is in the message of the request, the rest comes by a channel.
"""

from __future__ import annotations

import io
import time
from collections import deque
from typing import Any

from redis.exceptions import RedisError

from asgi_redis.layers.base import BaseChannelLayer
from workers.exceptions import RequestAborted, RequestTimeout

_BATCH = 4  # chunks that are received at once, of 128 KiB each


class BodyStream(io.RawIOBase):
    """
    A body as a file, which receives each part as it is read and then forgets it.

    Args:
        first: The part that came with the request.
        channel: The channel of the other parts.
        channel_layer: The layer of the channel.
        timeout: Seconds to wait for each part.
    """

    def __init__(self, first: bytes, channel: str, channel_layer: BaseChannelLayer, timeout: float) -> None:
        self.error: RequestTimeout | RequestAborted | RedisError | None = None
        """The reason why the body has ended too early, if it has."""
        self._channel = channel
        self._layer = channel_layer
        self._timeout = timeout
        self._parts = deque([memoryview(first)] if first else [])
        self._received = len(first)
        self._complete = False

    def receive_ahead(self, size: int) -> None:
        """Wait until ``size`` bytes are there, or the whole body. Raises as ``readinto``."""
        while not self._complete and sum(map(len, self._parts)) < size:
            self._receive()

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        """
        Read into ``buffer``, and return the number of bytes.

        Raises:
            RequestTimeout: The next part does not come, or parts before it have expired.
            RequestAborted: The client has gone.
            RedisError: The layer's server is away. A part may be lost, so what comes later is not read.
        """
        if self.error is not None:
            raise self.error
        while not self._parts:
            if self._complete:
                return 0
            self._receive()
        part = self._parts[0]
        size = min(len(buffer), len(part))
        buffer[:size] = part[:size]
        if size == len(part):
            self._parts.popleft()
        else:
            self._parts[0] = part[size:]
        return size

    def _receive(self) -> None:
        batch: list[tuple[str, dict[str, Any]]] = []
        deadline = time.monotonic() + self._timeout
        while not batch:
            # Not for the whole time at once: a worker that stops ends all waits in its process.
            left = max(0.0, deadline - time.monotonic())
            try:
                batch = list(self._layer.receive_batch([self._channel], _BATCH, left))
            except RedisError as error:
                self.error = error
                raise
            if not batch and left == 0.0:
                self.error = RequestTimeout(f"no more of the request's body for {self._timeout:g} s")
                raise self.error
        for _, chunk in batch:
            if chunk.get("closed"):
                self.error = RequestAborted("the client has gone before its request was complete")
                raise self.error
            # Not from the servers of Channels 1.
            position = chunk.get("position", self._received)
            if position != self._received:
                self.error = RequestTimeout(f"{position - self._received} bytes of the request's body have expired")
                raise self.error
            content = chunk.get("content")
            if content:
                self._parts.append(memoryview(content))
                self._received += len(content)
            self._complete = not chunk.get("more_content")
