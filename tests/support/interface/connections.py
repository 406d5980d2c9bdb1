"""Connections that say byte for byte what a test wants, and are as slow and as rude as it wants."""

from __future__ import annotations

import contextlib
import select
import socket
import struct
import time
from typing import TypeVar

Self = TypeVar("Self", bound="Connection")

PATIENCE_SECONDS = 20.0


class Connection:
    """
    A TCP connection to a server of this machine.

    ``receive_buffer`` is the size of the kernel's buffer in bytes, for clients that do not read.
    """

    def __init__(self, port: int, receive_buffer: int | None = None) -> None:
        self.socket = socket.socket()
        if receive_buffer is not None:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self.socket.settimeout(PATIENCE_SECONDS)
        self.socket.connect(("127.0.0.1", port))
        self._read = bytearray()

    def __enter__(self: Self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def close(self) -> None:
        self.socket.close()

    def write(self, data: bytes) -> None:
        self.socket.sendall(data)

    def write_until_refused(self, data: bytes, quiet: float = 0.5, limit: int = 1 << 30) -> int:
        """Writes ``data`` again and again until the peer has taken nothing for a while; returns the bytes it took."""
        written = 0
        self.socket.setblocking(False)
        try:
            while written < limit and select.select([], [self.socket], [], quiet)[1]:
                written += self.socket.send(data[written % len(data) :])
        finally:
            self.socket.settimeout(PATIENCE_SECONDS)
        return written

    def read(self, length: int) -> bytes:
        """Exactly as much; EOFError where the peer ends before."""
        while len(self._read) < length:
            self._fill()
        data = bytes(self._read[:length])
        del self._read[:length]
        return data

    def read_until(self, mark: bytes) -> bytes:
        while mark not in self._read:
            self._fill()
        return self.read(self._read.index(mark) + len(mark))

    def read_to_end(self) -> bytes:
        with contextlib.suppress(EOFError):
            while True:
                self._fill()
        return self.read(len(self._read))

    def readable(self, seconds: float = 0.0) -> bool:
        """Whether there is something to be read, or the end."""
        return bool(self._read) or bool(select.select([self.socket], [], [], seconds)[0])

    def ended(self) -> bool:
        """Whether the peer has ended it, and how does not matter; what it wrote before is dropped."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        try:
            while time.monotonic() < deadline:
                self._read.clear()
                self._fill()
        except (EOFError, ConnectionError):
            return True
        return False

    def half_close(self) -> None:
        """Says that nothing more will be written."""
        self.socket.shutdown(socket.SHUT_WR)

    def reset(self) -> None:
        """Ends it as a crashed machine does."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.socket.close()

    def _fill(self) -> None:
        data = self.socket.recv(65536)
        if not data:
            raise EOFError(f"the peer has closed; unread before: {bytes(self._read[:200])!r}")
        self._read += data
