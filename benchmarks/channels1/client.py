"""HTTP and websocket clients that cost next to nothing."""

from __future__ import annotations

import base64
import os
import socket
import struct
from collections.abc import Mapping
from typing import Any

TEXT, CLOSE, PING, PONG = 0x1, 0x8, 0x9, 0xA


class Refused(Exception):
    """The server did not open the websocket: its status line."""


class Closed(Exception):
    """The server has closed the websocket; ``code`` is the close code, or None."""

    def __init__(self, code: int | None) -> None:
        super().__init__(f"closed with code {code}")
        self.code = code


class _Connection:
    def __init__(self, port: int, timeout: float) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), timeout)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._file = self._socket.makefile("rb")

    def __enter__(self) -> Any:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._file.close()
        self._socket.close()

    def _head(self) -> tuple[str, dict[str, str]]:
        status = self._file.readline().decode("latin1").strip()
        if not status:
            raise ConnectionError("the server has closed the connection without an answer")
        headers: dict[str, str] = {}
        while True:
            line = self._file.readline().decode("latin1").strip()
            if not line:
                return status, headers
            name, _, value = line.partition(":")
            headers[name.lower()] = value.strip()


class Http(_Connection):
    """A keep-alive connection; asks for one path again and again."""

    def __init__(self, port: int, timeout: float = 20) -> None:
        super().__init__(port, timeout)
        self._request = f"GET / HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n\r\n".encode()

    def get(self) -> bytes:
        """Return the body of ``/``, or raise when the status is not 200."""
        self._socket.sendall(self._request)
        status, headers = self._head()
        if " 200 " not in status:
            raise ConnectionError(status)
        if headers.get("transfer-encoding", "") == "chunked":
            return b"".join(self._chunks())
        return self._file.read(int(headers["content-length"]))

    def _chunks(self) -> list[bytes]:
        chunks = []
        while True:
            size = int(self._file.readline(), 16)
            chunks.append(self._file.read(size))
            self._file.readline()
            if not size:
                return chunks


class WebSocket(_Connection):
    """A websocket for short text messages; raises ``Refused`` if it does not open."""

    def __init__(self, port: int, path: str, headers: Mapping[str, str] | None = None, timeout: float = 20) -> None:
        super().__init__(port, timeout)
        lines = [
            f"GET {path} HTTP/1.1",
            f"Host: 127.0.0.1:{port}",
            "Upgrade: websocket",
            "Connection: Upgrade",
            f"Sec-WebSocket-Key: {base64.b64encode(os.urandom(16)).decode()}",
            "Sec-WebSocket-Version: 13",
            *(f"{name}: {value}" for name, value in (headers or {}).items()),
        ]
        self._socket.sendall("\r\n".join([*lines, "", ""]).encode())
        status, _ = self._head()
        if " 101 " not in status:
            self.__exit__()
            raise Refused(status)

    def send(self, text: str) -> None:
        """Send one text message of less than 64 KiB."""
        self._send(TEXT, text.encode())

    def receive(self) -> str:
        """Return the next text message, or raise ``Closed``; answer pings on the way."""
        while True:
            opcode, payload = self._frame()
            if opcode == CLOSE:
                raise Closed(struct.unpack("!H", payload[:2])[0] if payload else None)
            if opcode == PING:
                self._send(PONG, payload)
            else:
                return payload.decode()

    def _send(self, opcode: int, payload: bytes) -> None:
        size = len(payload)
        head = bytes([0x80 | opcode, 0x80 | min(size, 126)]) + (struct.pack("!H", size) if size > 125 else b"")
        # A mask of zeros masks nothing, and is as good as any other to a server.
        self._socket.sendall(head + bytes(4) + payload)

    def _frame(self) -> tuple[int, bytes]:
        head = self._file.read(2)
        if len(head) < 2:
            raise Closed(None)
        size = head[1] & 0x7F
        if size > 125:
            size = int.from_bytes(self._file.read(2 if size == 126 else 8), "big")
        return head[0] & 0x0F, self._file.read(size)
