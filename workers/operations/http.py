"""
A small HTTP server for one document: what it takes from its process has a limit, whatever clients do.

One thread serves all connections. There are at most ``MAX_CONNECTIONS``: a new one takes the place of the oldest that
has not sent its request. Each has ``REQUEST_SECONDS`` for its request, of ``MAX_REQUEST`` bytes at most, and
``RESPONSE_SECONDS`` to take the response. Requests that come while a document is made share the next one.
"""

from __future__ import annotations

import gzip
import http
import logging
import math
import re
import select
import socket
import threading
import time
from typing import Callable

logger = logging.getLogger(__name__)

MAX_CONNECTIONS = 16
MAX_REQUEST = 1 << 14
REQUEST_SECONDS = 5.0
RESPONSE_SECONDS = 10.0
LINGER_SECONDS = 1.0  # for the client to read what was sent; an earlier close would take it away
NO_DESCRIPTOR_SECONDS = 1.0  # before a client is accepted again where the process had no descriptor for it
CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

_REQUEST_LINE = re.compile(rb"([A-Z]{1,20}) ([^ \r\n]+) HTTP/1\.[01]\r?\n")
_END_OF_HEAD = re.compile(rb"\r?\n\r?\n")
_GZIP = re.compile(rb"\naccept-encoding:[^\r\n]*\bgzip\b", re.IGNORECASE)


class Connection:
    """
    One client. ``request`` is its request when that has come whole, ``deadline`` when it is given up.

    A phase of it is to read the request, to write the response, or to wait for the client's end.
    """

    def __init__(self, client: socket.socket) -> None:
        client.setblocking(False)
        self.client = client
        self.deadline = time.monotonic() + REQUEST_SECONDS
        self.request: bytes | None = None
        self.responded = False
        self._received = b""
        self._response: list[memoryview] = []

    @property
    def events(self) -> int:
        """What it waits for, as in ``select.poll``."""
        return select.POLLOUT if self._response else select.POLLIN

    def go_on(self) -> bool:
        """Reads or writes what can be; returns whether there is more to do. Raises ``OSError``."""
        if self._response:
            self._write()
            return True
        data = self.client.recv(MAX_REQUEST)
        if not data or self.responded:
            return bool(data)
        self._received += data
        if _END_OF_HEAD.search(self._received) or len(self._received) > MAX_REQUEST:
            self.request = self._received
        return True

    def respond(self, head: bytes, body: bytes) -> None:
        """Begins to send a response."""
        self.responded = True
        self.deadline = time.monotonic() + RESPONSE_SECONDS
        self._response = [memoryview(part) for part in (head, body) if part]

    def _write(self) -> None:
        part = self._response[0]
        part = part[self.client.send(part) :]
        self._response[:1] = [part] if part else []
        if not self._response:
            self.deadline = time.monotonic() + LINGER_SECONDS
            self.client.shutdown(socket.SHUT_WR)


class HttpServer:
    """
    Serves what ``document`` returns, at ``/`` and ``/metrics`` of ``address``, until ``close``.

    ``document`` is called in the server's thread. Raises ``OSError`` when the address cannot be had.
    """

    def __init__(self, address: tuple[str, int], document: Callable[[], bytes]) -> None:
        family, _, _, _, where = socket.getaddrinfo(*address, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
        # As it is with the system's default, "[::]" is for IPv4, too.
        both = where[0] == "::" and socket.has_dualstack_ipv6()
        self._listener = socket.create_server(where[:2], family=family, backlog=128, dualstack_ipv6=both)
        self._listener.setblocking(False)
        self.address: tuple[str, int] = self._listener.getsockname()[:2]
        self._document = document
        self._failed = False
        self._connections: dict[socket.socket, Connection] = {}  # the oldest first
        self._accept_at = 0.0
        self._closed, self._closer = socket.socketpair()
        self._thread = threading.Thread(target=self._serve, name="metrics", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Ends the server, and all its connections."""
        self._closer.close()
        self._thread.join(1.0)

    def _serve(self) -> None:
        with self._closed, self._listener:
            try:
                while self._step():
                    pass
            finally:
                for client in self._connections:
                    client.close()

    def _step(self) -> bool:
        """Waits for something to do, and does it; returns whether it is to go on."""
        # Not selectors.DefaultSelector: it takes a descriptor, and there may be none left.
        poller, now = select.poll(), time.monotonic()
        poller.register(self._closed, select.POLLIN)
        deadlines = [connection.deadline for connection in self._connections.values()]
        if now < self._accept_at:
            deadlines.append(self._accept_at)
        else:
            poller.register(self._listener, select.POLLIN)
        for client, connection in self._connections.items():
            poller.register(client, connection.events)
        ready = {number for number, _ in poller.poll(_milliseconds(min(deadlines) - now) if deadlines else None)}
        if self._closed.fileno() in ready:
            return False
        for client in list(self._connections):
            if client.fileno() in ready:
                self._go_on(client)
        if self._listener.fileno() in ready:
            for _ in range(MAX_CONNECTIONS):
                if not self._accept():
                    break
        self._respond()
        for client, connection in list(self._connections.items()):
            if connection.deadline <= time.monotonic():
                self._drop(client)
        return True

    def _accept(self) -> bool:
        """Accepts a client; returns whether there was one."""
        try:
            client, _ = self._listener.accept()
        except (BlockingIOError, ConnectionAbortedError):
            return False
        except OSError as error:
            self._accept_at = time.monotonic() + NO_DESCRIPTOR_SECONDS
            logger.warning("Cannot accept a connection for metrics: %s", error)
            return False
        if len(self._connections) >= MAX_CONNECTIONS:
            waiting = (other for other, connection in self._connections.items() if connection.request is None)
            self._drop(next(waiting, next(iter(self._connections))))
        self._connections[client] = Connection(client)
        self._go_on(client)  # mostly, the request comes with it
        return True

    def _go_on(self, client: socket.socket) -> None:
        try:
            more = self._connections[client].go_on()
        except BlockingIOError:
            more = True
        except OSError:
            more = False
        if not more:
            self._drop(client)

    def _drop(self, client: socket.socket) -> None:
        del self._connections[client]
        client.close()

    def _respond(self) -> None:
        asking = [each for each in self._connections.values() if each.request is not None and not each.responded]
        made: dict[tuple[http.HTTPStatus, bool], tuple[bytes, bytes]] = {}
        document: bytes | None = None
        for connection in asking:
            request = connection.request or b""
            status, with_body = _status(request)
            if status == http.HTTPStatus.OK:
                document = self._made() if document is None else document
                status = http.HTTPStatus.INTERNAL_SERVER_ERROR if document is None else status
            packed = status == http.HTTPStatus.OK and _GZIP.search(request) is not None
            if (status, packed) not in made:
                made[status, packed] = _response(status, document if status == http.HTTPStatus.OK else None, packed)
            head, body = made[status, packed]
            connection.respond(head, body if with_body else b"")

    def _made(self) -> bytes | None:
        try:
            document = self._document()
        except Exception:
            if not self._failed:
                logger.exception("No metrics can be had")
            self._failed = True
            return None
        self._failed = False
        return document


def _milliseconds(seconds: float) -> int:
    return max(0, math.ceil(seconds * 1000))


def _status(request: bytes) -> tuple[http.HTTPStatus, bool]:
    """Returns what becomes of a request, and whether its response has a body."""
    if not _END_OF_HEAD.search(request):
        return http.HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, True
    line = _REQUEST_LINE.match(request)
    if line is None:
        return http.HTTPStatus.BAD_REQUEST, True
    if line[1] not in (b"GET", b"HEAD"):
        return http.HTTPStatus.METHOD_NOT_ALLOWED, True
    found = line[2].partition(b"?")[0] in (b"/", b"/metrics")
    return http.HTTPStatus.OK if found else http.HTTPStatus.NOT_FOUND, line[1] == b"GET"


def _response(status: http.HTTPStatus, body: bytes | None, packed: bool) -> tuple[bytes, bytes]:
    content = f"{status.phrase}\n".encode() if body is None else body
    fields = [f"HTTP/1.1 {status.value} {status.phrase}", f"Content-Type: {CONTENT_TYPE}"]
    if packed:
        content = gzip.compress(content, 1)
        fields.append("Content-Encoding: gzip")
    if status == http.HTTPStatus.METHOD_NOT_ALLOWED:
        fields.append("Allow: GET, HEAD")
    fields += [f"Content-Length: {len(content)}", "Connection: close", "", ""]
    return "\r\n".join(fields).encode(), content
