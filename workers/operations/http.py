"""
An HTTP server for one document, with limits on the resources of its clients.

One thread serves all connections. There are at most ``MAX_CONNECTIONS``: a new one takes the place of the oldest that
has not sent its request. Each has ``REQUEST_SECONDS`` for its request, of ``MAX_REQUEST`` bytes at most, and
``RESPONSE_SECONDS`` to take the response. Requests that come while a document is made share the next one.
"""

from __future__ import annotations

import gzip
import logging
import math
import re
import select
import socket
import threading
import time
from http import HTTPStatus
from typing import Callable

logger = logging.getLogger(__name__)

MAX_CONNECTIONS = 16
MAX_REQUEST = 1 << 14
REQUEST_SECONDS = 5.0
RESPONSE_SECONDS = 10.0
LINGER_SECONDS = 1.0  # for the client to read the response; an earlier close would take it away
NO_DESCRIPTOR_SECONDS = 1.0  # until the next accept, where the process had no descriptor for a client
CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

_REQUEST_LINE = re.compile(rb"([A-Z]{1,20}) ([^ \r\n]+) HTTP/1\.[01]\r?\n")
_END_OF_HEAD = re.compile(rb"\r?\n\r?\n")
_GZIP = re.compile(rb"\naccept-encoding:[^\r\n]*\bgzip\b", re.IGNORECASE)


class HttpConnection:
    """
    One client, which is closed at its ``deadline``.

    ``request`` is its request when that is complete. The connection reads the request, then writes the response, then
    waits for the client to close.
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
        """The events of ``select.poll`` that it waits for."""
        return select.POLLOUT if self._response else select.POLLIN

    def proceed(self) -> bool:
        """Read or write without waiting; return whether the connection is to stay open."""
        try:
            return self._write() if self._response else self._read()
        except BlockingIOError:
            return True
        except OSError:
            return False

    def respond(self, head: bytes, body: bytes) -> None:
        """Begin to send a response."""
        self.responded = True
        self.deadline = time.monotonic() + RESPONSE_SECONDS
        self._response = [memoryview(part) for part in (head, body) if part]

    def _read(self) -> bool:
        data = self.client.recv(MAX_REQUEST)
        if data and not self.responded:
            self._received += data
            if _END_OF_HEAD.search(self._received) or len(self._received) > MAX_REQUEST:
                self.request = self._received
        return bool(data)

    def _write(self) -> bool:
        part = self._response[0]
        part = part[self.client.send(part) :]
        self._response[:1] = [part] if part else []
        if not self._response:
            self.deadline = time.monotonic() + LINGER_SECONDS
            self.client.shutdown(socket.SHUT_WR)
        return True


class HttpServer:
    """
    Serves ``document()`` at ``/`` and ``/metrics`` of ``address``, until ``close``.

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
        self._connections: dict[int, HttpConnection] = {}  # by descriptor, the oldest first
        self._accept_at = 0.0
        self._closed, self._closer = socket.socketpair()
        self._thread = threading.Thread(target=self._serve, name="metrics", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """End the server, and all its connections."""
        self._closer.close()
        self._thread.join(1.0)

    def _serve(self) -> None:
        with self._closed, self._listener:
            try:
                while self._closed.fileno() not in (ready := self._wait()):
                    for descriptor in ready & self._connections.keys():
                        self._proceed(descriptor)
                    if self._listener.fileno() in ready:
                        self._accept()
                    self._respond()
                    for descriptor, connection in list(self._connections.items()):
                        if connection.deadline <= time.monotonic():
                            self._drop(descriptor)
            finally:
                for connection in self._connections.values():
                    connection.client.close()

    def _wait(self) -> set[int]:
        """Wait for an event or a deadline; return the descriptors that are ready."""
        # Not selectors.DefaultSelector: it takes a descriptor, and there may be none left.
        poller, now = select.poll(), time.monotonic()
        poller.register(self._closed, select.POLLIN)
        deadlines = [connection.deadline for connection in self._connections.values()]
        if now < self._accept_at:
            deadlines.append(self._accept_at)
        else:
            poller.register(self._listener, select.POLLIN)
        for descriptor, connection in self._connections.items():
            poller.register(descriptor, connection.events)
        timeout = max(0, math.ceil((min(deadlines) - now) * 1000)) if deadlines else None  # milliseconds
        return {descriptor for descriptor, _ in poller.poll(timeout)}

    def _accept(self) -> None:
        for _ in range(MAX_CONNECTIONS):
            try:
                client, _ = self._listener.accept()
            except (BlockingIOError, ConnectionAbortedError):
                return
            except OSError as error:
                self._accept_at = time.monotonic() + NO_DESCRIPTOR_SECONDS
                logger.warning("Cannot accept a connection for metrics: %s", error)
                return
            if len(self._connections) >= MAX_CONNECTIONS:
                reading = (number for number, other in self._connections.items() if other.request is None)
                self._drop(next(reading, next(iter(self._connections))))
            self._connections[client.fileno()] = HttpConnection(client)
            self._proceed(client.fileno())  # mostly, the request comes with it

    def _proceed(self, descriptor: int) -> None:
        if not self._connections[descriptor].proceed():
            self._drop(descriptor)

    def _drop(self, descriptor: int) -> None:
        self._connections.pop(descriptor).client.close()

    def _respond(self) -> None:
        responses: dict[tuple[HTTPStatus, bool], tuple[bytes, bytes]] = {}
        for connection in self._connections.values():
            if connection.request is not None and not connection.responded:
                status, with_body = _status(connection.request)
                kind = status, status == HTTPStatus.OK and _GZIP.search(connection.request) is not None
                if kind not in responses:
                    responses[kind] = self._response(*kind)
                head, body = responses[kind]
                connection.respond(head, body if with_body else b"")

    def _response(self, status: HTTPStatus, packed: bool) -> tuple[bytes, bytes]:
        document = self._make_document() if status == HTTPStatus.OK else None
        if status == HTTPStatus.OK and document is None:
            status = HTTPStatus.INTERNAL_SERVER_ERROR
        body = f"{status.phrase}\n".encode() if document is None else document
        fields = [f"HTTP/1.1 {status.value} {status.phrase}", f"Content-Type: {CONTENT_TYPE}"]
        if packed:
            body = gzip.compress(body, 1)
            fields.append("Content-Encoding: gzip")
        if status == HTTPStatus.METHOD_NOT_ALLOWED:
            fields.append("Allow: GET, HEAD")
        fields += [f"Content-Length: {len(body)}", "Connection: close", "", ""]
        return "\r\n".join(fields).encode(), body

    def _make_document(self) -> bytes | None:
        try:
            document = self._document()
        except Exception:
            if not self._failed:
                logger.exception("No metrics can be had")
            self._failed = True
            return None
        self._failed = False
        return document


def _status(request: bytes) -> tuple[HTTPStatus, bool]:
    """Return the status of the response to a request, and whether it has a body."""
    if not _END_OF_HEAD.search(request):
        return HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, True
    line = _REQUEST_LINE.match(request)
    if line is None:
        return HTTPStatus.BAD_REQUEST, True
    if line[1] not in (b"GET", b"HEAD"):
        return HTTPStatus.METHOD_NOT_ALLOWED, True
    found = line[2].partition(b"?")[0] in (b"/", b"/metrics")
    return HTTPStatus.OK if found else HTTPStatus.NOT_FOUND, line[1] == b"GET"
