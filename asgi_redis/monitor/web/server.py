"""
``asgi-redis monitor --web``: the page for one person, without Django.

There is no login. So it listens on the loopback address unless another is asked for, answers to no host name that a
foreign site could point at it, and takes actions only from its own page. At most ``MAX_CONNECTIONS`` threads serve,
each for one request, and no longer than ``CONNECTION_SECONDS``.
"""

from __future__ import annotations

import contextlib
import hmac
import ipaddress
import logging
import secrets
import socket
import socketserver
import sys
import threading
import time
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from asgi_redis.layers.base import BaseChannelLayer
from asgi_redis.monitor.web.answers import TOKEN_FIELD, Answer, LayerChoice, Question, Rights, answer, error_answer
from asgi_redis.monitor.web.files import HEADERS
from asgi_redis.monitor.web.watching import WatchedLayer

logger = logging.getLogger(__name__)

MAX_CONNECTIONS = 24
CONNECTION_SECONDS = 15.0
MAKE_ROOM_SECONDS = 1.0
MAX_FORM = 1 << 14


class MonitorServer(ThreadingHTTPServer):
    """
    Serves the page of a layer at an address.

    Args:
        address: Host and port; port 0 stands for a free one. ``url`` tells which.
        layer: The layer. It is not closed with the server.
        allow_actions: Whether channels may be purged and workers quieted.
        content: Whether the content of messages may be shown.

    Raises:
        OSError: The address cannot be had.
    """

    daemon_threads = True
    block_on_close = False
    request_queue_size = 64

    def __init__(
        self,
        address: tuple[str, int],
        layer: BaseChannelLayer,
        *,
        allow_actions: bool = False,
        content: bool = False,
    ) -> None:
        self.address_family, _, _, _, where = socket.getaddrinfo(
            *address, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        self.watched = WatchedLayer(layer)
        self.rights = Rights(allow_actions, content, _note(allow_actions, content), secrets.token_urlsafe(32))
        self.host = address[0]
        self._free = threading.BoundedSemaphore(MAX_CONNECTIONS)
        self._open: dict[socket.socket, float] = {}  # by the time of the connection, the oldest first
        self._lock = threading.Lock()
        super().__init__((str(where[0]), address[1]), MonitorRequest)

    @property
    def url(self) -> str:
        """The address of the page."""
        name = f"[{self.ip_address}]" if self.ip_address.version == 6 else self.ip_address
        return f"http://{name}:{self.server_address[1]}/"

    @property
    def ip_address(self) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
        """The IP address that it listens on."""
        return ipaddress.ip_address(str(self.server_address[0]))

    def server_bind(self) -> None:
        # That of http.server looks up the name of the host, which may take its time.
        socketserver.TCPServer.server_bind(self)

    def is_own_host(self, header: str) -> bool:
        """
        Return whether a ``Host`` header may be that of this server.

        It is an IP address, ``localhost``, or the host that the server was given.

        A foreign site whose name resolves to this address, to have browsers read it from here, has none of these.
        """
        try:
            name = urlsplit(f"//{header}").hostname or ""
        except ValueError:
            return False
        if name in ("localhost", self.host.lower()):
            return bool(name)
        try:
            ipaddress.ip_address(name)
        except ValueError:
            return False
        return True

    # Bounded threads

    def process_request(self, request: Any, client_address: Any) -> None:
        if not self._free.acquire(blocking=False):
            with self._lock:
                oldest = next(iter(self._open), None)
            if oldest is not None:
                _hang_up(oldest)
            if not self._free.acquire(timeout=MAKE_ROOM_SECONDS):
                self.shutdown_request(request)
                return
        with self._lock:
            self._open[request] = time.monotonic()
        super().process_request(request, client_address)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        try:
            super().process_request_thread(request, client_address)
        finally:
            with self._lock:
                self._open.pop(request, None)
            self._free.release()

    def service_actions(self) -> None:
        """End the connections that last too long."""
        latest = time.monotonic() - CONNECTION_SECONDS
        with self._lock:
            late = [connection for connection, since in self._open.items() if since < latest]
        for connection in late:
            _hang_up(connection)

    def handle_error(self, request: Any, client_address: Any) -> None:
        if isinstance(sys.exc_info()[1], OSError):
            logger.debug("A client of the monitor's page has gone", exc_info=True)
        else:
            logger.exception("A question of the monitor's page could not be answered")

    def server_close(self) -> None:
        """Stop to listen, and end the monitor."""
        super().server_close()
        self.watched.close()


class MonitorRequest(BaseHTTPRequestHandler):
    """Answers one request, and closes the connection."""

    server: MonitorServer
    server_version = "asgi-redis"
    sys_version = ""
    timeout = CONNECTION_SECONDS

    def do_GET(self) -> None:
        path, _, query = self.path.partition("?")
        self._respond(self._refusal() or self._ask(Question(path[1:], dict(parse_qsl(query)))))

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_POST(self) -> None:
        self._respond(self._refusal() or self._act())

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002  the name in http.server
        logger.debug(format, *args)

    def _refusal(self) -> Answer | None:
        hosts = self.headers.get_all("Host", [])
        if len(hosts) == 1 and self.server.is_own_host(hosts[0]):
            return None
        return error_answer(
            HTTPStatus.MISDIRECTED_REQUEST,
            "this server answers to localhost, to IP addresses, and to the host that --web has named",
        )

    def _act(self) -> Answer:
        origin = self.headers.get("Origin")
        if origin is not None and origin != f"http://{self.headers['Host']}":
            return error_answer(HTTPStatus.FORBIDDEN, "this request comes from another site")
        if self.headers.get("Sec-Fetch-Site", "same-origin") != "same-origin":
            return error_answer(HTTPStatus.FORBIDDEN, "this request comes from another site")
        length = self.headers.get("Content-Length", "")
        if not (length.isascii() and length.isdigit()):
            return error_answer(HTTPStatus.LENGTH_REQUIRED, "the form has no length")
        if len(length) > 9 or int(length) > MAX_FORM:
            return error_answer(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "the form is too large")
        form = dict(parse_qsl(self.rfile.read(int(length)).decode("utf-8", "replace")))
        token = form.pop(TOKEN_FIELD, "")
        if not hmac.compare_digest(token.encode(), self.server.rights.token.encode()):
            return error_answer(HTTPStatus.FORBIDDEN, "the token is not that of this server: reload the page")
        return self._ask(Question(self.path.partition("?")[0][1:], form, posted=True))

    def _ask(self, question: Question) -> Answer:
        server = self.server
        return answer(question, LayerChoice(server.watched, "default", ["default"]), server.rights)

    def _respond(self, made: Answer) -> None:
        known = bool(made.etag) and made.etag == self.headers.get("If-None-Match")
        self.send_response(HTTPStatus.NOT_MODIFIED if known else made.status)
        for name, value in HEADERS.items():
            self.send_header(name, value)
        self.send_header("Cache-Control", "no-cache" if made.etag else "no-store")
        if made.etag:
            self.send_header("ETag", made.etag)
        if not known:
            self.send_header("Content-Type", made.content_type)
            self.send_header("Content-Length", str(len(made.content)))
        self.end_headers()
        if self.command != "HEAD" and not known:
            self.wfile.write(made.content)


def _hang_up(connection: socket.socket) -> None:
    with contextlib.suppress(OSError):  # its thread has closed it meanwhile
        connection.shutdown(socket.SHUT_RDWR)


def _note(allow_actions: bool, content: bool) -> str:
    missing = [
        *([] if allow_actions else ["To purge channels and quiet workers, start the monitor with --allow-actions."]),
        *([] if content else ["To see the content of messages, start it with --content."]),
    ]
    return " ".join(missing)
