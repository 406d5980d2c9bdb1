"""A node of a cluster that has all slots, and answers requests about subscriptions as a test says."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable

from tests.support.resp import commands


def message(*words: bytes | int) -> bytes:
    """Returns a message or a reply of pub/sub."""
    parts = [b":%d\r\n" % word if isinstance(word, int) else b"$%d\r\n%b\r\n" % (len(word), word) for word in words]
    return b"*%d\r\n" % len(parts) + b"".join(parts)


class ScriptedNode:
    """
    Listens on ``url``; ``answer(command, name)`` returns the bytes to send for a request about a subscription.

    ``asked`` are those requests, and ``connections`` those that have made one.
    """

    def __init__(self, answer: Callable[[bytes, bytes], bytes]) -> None:
        self.asked: list[tuple[bytes, bytes]] = []
        self.connections: list[socket.socket] = []
        self._answer = answer
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}"

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self._listener.accept()
                threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        with contextlib.suppress(OSError), connection:
            while received := connection.recv(1 << 16):
                for words in commands(received):
                    connection.sendall(self._reply(connection, words))

    def _reply(self, connection: socket.socket, words: list[bytes]) -> bytes:
        name = words[0].upper()
        if name in (b"SSUBSCRIBE", b"SUNSUBSCRIBE"):
            if connection not in self.connections:
                self.connections.append(connection)
            self.asked.append((name, words[1]))
            return self._answer(name, words[1])
        if name == b"CLUSTER":
            node = message(b"127.0.0.1", self.port, b"0" * 40)
            return b"*1\r\n*3\r\n:0\r\n:16383\r\n" + node
        if name == b"INFO":
            return b"$19\r\nredis_version:7.0.0\r\n"
        return b"+OK\r\n"
