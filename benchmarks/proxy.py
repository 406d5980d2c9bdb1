"""
A TCP proxy on loopback that counts bytes each way, and round trips.

A round trip begins whenever a client writes on a connection that last carried an answer, or nothing yet;
a pipeline is one, however many commands are in it.
"""

from __future__ import annotations

import selectors
import socket
import threading
from dataclasses import dataclass, field


@dataclass
class Crossed:
    """The counts so far."""

    round_trips: int = 0
    bytes_out: int = 0  # from the client to Redis
    bytes_in: int = 0  # from Redis to the client


@dataclass(eq=False)
class _End:
    socket: socket.socket
    is_client: bool
    other: _End = field(init=False)
    asked: bool = False  # on a client's end: is it waiting for an answer?


class CountingProxy:
    """Runs in a thread from its creation to the end of the process."""

    def __init__(self, redis_port: int) -> None:
        self.crossed = Crossed()
        self._redis_port = redis_port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._listener, selectors.EVENT_READ)
        threading.Thread(target=self._run, daemon=True).start()

    def snapshot(self) -> Crossed:
        """Return a copy of the counts."""
        return Crossed(**vars(self.crossed))

    def _run(self) -> None:
        while True:
            for key, _ in self._selector.select():
                if key.data is None:
                    self._accept()
                else:
                    self._forward(key.data)

    def _accept(self) -> None:
        client = _End(self._listener.accept()[0], is_client=True)
        server = _End(socket.create_connection(("127.0.0.1", self._redis_port)), is_client=False)
        client.other, server.other = server, client
        for end in (client, server):
            end.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._selector.register(end.socket, selectors.EVENT_READ, end)

    def _forward(self, end: _End) -> None:
        try:
            data = end.socket.recv(1 << 20)
        except OSError:
            data = b""
        if not data:
            self._close(end)
            return
        if end.is_client:
            self.crossed.bytes_out += len(data)
            self.crossed.round_trips += not end.asked
            end.asked = True
        else:
            self.crossed.bytes_in += len(data)
            end.other.asked = False
        try:
            end.other.socket.sendall(data)
        except OSError:
            self._close(end)

    def _close(self, end: _End) -> None:
        for one in (end, end.other):
            if one.socket.fileno() != -1:
                self._selector.unregister(one.socket)
                one.socket.close()
