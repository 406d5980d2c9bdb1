"""Many websockets to the chat example, as cheap as can be."""

from __future__ import annotations

import asyncio
import json
from typing import Any
from urllib.parse import urlsplit

_KEY = "dGhlIHNhbXBsZSBub25jZQ=="  # any 16 bytes do


class Socket:
    """An open websocket to a room. ``received`` is what has come, ``ended`` whether it was closed."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.received: list[dict[str, Any]] = []
        self.ended = False
        self._reader = reader
        self._writer = writer
        self._task = asyncio.ensure_future(self._read())

    @classmethod
    async def open(cls, url: str, room: str = "lobby") -> Socket:
        """Returns one that is open, see RFC 6455."""
        parts = urlsplit(url)
        reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
        headers = {
            "Host": parts.netloc,
            "Origin": f"{parts.scheme}://{parts.netloc}",
            "Connection": "Upgrade",
            "Upgrade": "websocket",
            "Sec-WebSocket-Key": _KEY,
            "Sec-WebSocket-Version": "13",
        }
        lines = [f"GET /ws/{room}/ HTTP/1.1", *(f"{name}: {value}" for name, value in headers.items()), "", ""]
        request = "\r\n".join(lines)
        writer.write(request.encode())
        answer = await reader.readuntil(b"\r\n\r\n")
        assert answer.startswith(b"HTTP/1.1 101"), answer
        return cls(reader, writer)

    async def _read(self) -> None:
        try:
            while True:
                kind, length = await self._reader.readexactly(2)
                if length == 126:
                    length = int.from_bytes(await self._reader.readexactly(2), "big")
                content = await self._reader.readexactly(length)
                if kind & 15 == 1:
                    self.received.append(json.loads(content))
                elif kind & 15 == 8:
                    break
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        self.ended = True

    def said(self, text: str) -> int:
        """How many messages with this text have come."""
        return sum(message.get("text") == text for message in self.received)

    async def close(self) -> None:
        self._task.cancel()
        self._writer.close()
