"""Websockets on a plain socket, frame by frame."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import os
import struct

from tests.support.interface.http import Answer, Headers, HttpConnection, head

CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0x0, 0x1, 0x2, 0x8, 0x9, 0xA
NO_CODE = 1005  # the code for a close frame without one
ABNORMAL = 1006  # the code for an end without a close frame


class Closed(Exception):
    """The server has closed the websocket, with ``code`` and ``reason``."""

    def __init__(self, code: int, reason: str = "") -> None:
        super().__init__(code, reason)
        self.code = code
        self.reason = reason


def frame(opcode: int, payload: bytes, fin: bool = True, rsv: int = 0) -> bytes:
    """The bytes of a client's frame, masked."""
    size = len(payload)
    mask = b"\x12\xe4\x56\xa8"
    first = bytes([fin << 7 | rsv << 4 | opcode])
    if size < 126:
        length = bytes([0x80 | size])
    elif size < 1 << 16:
        length = struct.pack("!BH", 0x80 | 126, size)
    else:
        length = struct.pack("!BQ", 0x80 | 127, size)
    key = int.from_bytes((mask * (size // 4 + 1))[:size], "big")
    masked = (int.from_bytes(payload, "big") ^ key).to_bytes(size, "big")
    return first + length + mask + masked


class WebSocket(HttpConnection):
    """
    A client that has sent its handshake and has read nothing yet.

    ``opened`` reads the answer of a server that accepts, ``refused`` of one that does not. Pings are answered while
    it reads.
    """

    def __init__(
        self,
        port: int,
        target: str = "/",
        subprotocols: list[str] | None = None,
        headers: Headers = (),
        receive_buffer: int | None = None,
    ) -> None:
        super().__init__(port, receive_buffer)
        self._key = base64.b64encode(os.urandom(16)).decode()
        asked = [("Sec-WebSocket-Protocol", ", ".join(subprotocols))] if subprotocols else []
        handshake = [
            ("Connection", "Upgrade"),
            ("Upgrade", "websocket"),
            ("Sec-WebSocket-Version", "13"),
            ("Sec-WebSocket-Key", self._key),
        ]
        self.write(head("GET", target, [*handshake, *asked, *headers]))
        self.handshake: Answer | None = None
        self._has_closed = False

    def opened(self) -> WebSocket:
        """Returns itself when the server has accepted."""
        self.handshake = self.answer_head()
        assert self.handshake.status == 101, (self.handshake, self.read_to_end())
        digest = hashlib.sha1(f"{self._key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11".encode()).digest()
        assert self.handshake.header("sec-websocket-accept") == base64.b64encode(digest).decode()
        return self

    @property
    def subprotocol(self) -> str | None:
        assert self.handshake is not None
        return self.handshake.header("sec-websocket-protocol")

    def refused(self) -> Answer:
        """The answer of a server that does not accept."""
        answer = self.answer()
        assert answer.status != 101
        return answer

    def send(self, data: str | bytes) -> None:
        self.write(data_frame(data))

    def close_with(self, code: int, reason: str = "") -> None:
        """Writes a close frame."""
        self._has_closed = True
        self.write(frame(CLOSE, struct.pack("!H", code) + reason.encode()))

    def receive(self) -> str | bytes:
        """The next message; raises ``Closed`` at the end."""
        message, kind = b"", BINARY
        while True:
            opcode, fin, payload = self.receive_frame()
            if opcode == PING:
                self.write(frame(PONG, payload))
            elif opcode in (TEXT, BINARY, CONTINUATION):
                kind = opcode or kind
                message += payload
                if fin:
                    return message.decode() if kind == TEXT else message

    def receive_frame(self) -> tuple[int, bool, bytes]:
        """The next frame as opcode, whether it is the last of its message, and payload; raises ``Closed``."""
        try:
            first, second = self.read(2)
            length = second & 0x7F
            if length == 126:
                (length,) = struct.unpack("!H", self.read(2))
            elif length == 127:
                (length,) = struct.unpack("!Q", self.read(8))
            payload = self.read(length)
        except (EOFError, ConnectionError):
            raise Closed(ABNORMAL) from None
        if first & 0xF == CLOSE:
            code = struct.unpack("!H", payload[:2])[0] if payload else NO_CODE
            raise Closed(code, payload[2:].decode())
        return first & 0xF, bool(first & 0x80), payload

    def close_code(self) -> int:
        """Reads on until the server closes, answers and closes as a browser does, and returns its code."""
        while True:
            try:
                self.receive()
            except Closed as closed:
                if not self._has_closed and closed.code not in (NO_CODE, ABNORMAL):
                    with contextlib.suppress(ConnectionError):  # some servers do not wait for the answer
                        self.close_with(closed.code)
                self.close()
                return closed.code


def data_frame(data: str | bytes) -> bytes:
    """The frame of a whole message."""
    return frame(TEXT, data.encode()) if isinstance(data, str) else frame(BINARY, data)
