"""The body of an HTTP request, in chunks."""

from __future__ import annotations

import asyncio
import time

from asgi_redis.interface.asgi import Receive, Scope
from asgi_redis.interface.options import InterfaceOptions

CHUNK_BYTES = 128 * 1024
_BYTES_PER_SECOND = 500  # that a client has to send, in the long run


class BodyError(Exception):
    """The body is refused with ``status``, or with None the client has gone."""

    def __init__(self, status: int | None) -> None:
        super().__init__(status)
        self.status = status


class RequestBody:
    """Reads the body of one request, in chunks of up to ``CHUNK_BYTES``."""

    def __init__(self, scope: Scope, receive: Receive, settings: InterfaceOptions) -> None:
        self._receive = receive
        self._max_bytes = settings["max_body_bytes"]
        self._timeout = settings["body_timeout"]
        self._begin = time.monotonic()
        self._read = 0
        self._buffer = bytearray()
        self.complete = False
        """Whether all of it was read."""
        names = dict(scope.get("headers", ()))
        self._announced = names.get(b"content-length")
        # HTTP/2 need not announce a body.
        self._may_be_slow = (
            self._announced is not None
            or b"transfer-encoding" in names
            or scope.get("http_version") not in {"1.0", "1.1"}
        )

    async def chunk(self) -> bytes:
        """
        Return the next chunk; the last one where ``complete`` is true afterwards.

        Raises:
            BodyError: It is too large or too slow, or the client has gone.
        """
        if self._announced is not None and self._announced.isdigit() and int(self._announced) > self._max_bytes:
            raise BodyError(413)
        while not self.complete and len(self._buffer) < CHUNK_BYTES:
            await self._more()
        chunk = bytes(self._buffer[:CHUNK_BYTES])
        del self._buffer[:CHUNK_BYTES]
        return chunk

    @property
    def position(self) -> int:
        """The number of bytes before the next chunk."""
        return self._read - len(self._buffer)

    @property
    def rest(self) -> bool:
        """Whether there is more than the chunks that were returned."""
        return bool(self._buffer) or not self.complete

    async def _more(self) -> None:
        if self._may_be_slow:
            left = self._begin + self._timeout + self._read / _BYTES_PER_SECOND - time.monotonic()
            left = min(left, self._timeout)
            try:
                event = await asyncio.wait_for(self._receive(), max(0.0, left))
            except asyncio.TimeoutError:
                raise BodyError(408) from None
        else:
            event = await self._receive()
        if event["type"] == "http.disconnect":
            raise BodyError(None)
        part = event.get("body", b"")
        self._read += len(part)
        if self._read > self._max_bytes:
            raise BodyError(413)
        self._buffer += part
        self.complete = not event.get("more_body", False)
