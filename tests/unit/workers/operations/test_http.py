"""The server behind ``--metrics-port``: clients that are slow, many, or want what it does not have."""

from __future__ import annotations

import contextlib
import gzip
import socket
import threading
import time
from collections.abc import Iterator

import pytest

from tests.support.waiting import eventually
from workers.operations import http
from workers.operations.http import MAX_CONNECTIONS, MAX_REQUEST, HttpServer

GET = b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n"


class Document:
    def __init__(self) -> None:
        self.body = b"a 1\n"
        self.made = 0
        self.may_end = threading.Event()
        self.may_end.set()

    def __call__(self) -> bytes:
        self.made += 1
        assert self.may_end.wait(20)
        return self.body


@pytest.fixture
def document() -> Document:
    return Document()


@pytest.fixture
def server(document: Document) -> Iterator[HttpServer]:
    with contextlib.closing(HttpServer(("127.0.0.1", 0), document)) as server:
        yield server
    document.may_end.set()


def client(server: HttpServer, request: bytes = b"") -> socket.socket:
    made = socket.create_connection(server.address, timeout=20)
    made.sendall(request)
    return made


def response(made: socket.socket) -> tuple[bytes, bytes]:
    """The head and the body of what comes until the end of the connection."""
    received = b""
    while data := made.recv(1 << 16):
        received += data
    head, _, body = received.partition(b"\r\n\r\n")
    return head, body


def ask(server: HttpServer, request: bytes) -> tuple[bytes, bytes]:
    with client(server, request) as made:
        return response(made)


def is_closed(made: socket.socket) -> bool:
    made.setblocking(False)
    try:
        return made.recv(1) == b""
    except BlockingIOError:
        return False
    except ConnectionResetError:
        return True


def test_a_request_may_come_in_pieces(server: HttpServer) -> None:
    with client(server) as made:
        for number in range(len(GET)):
            made.sendall(GET[number : number + 1])
        head, body = response(made)
    assert head.startswith(b"HTTP/1.1 200 OK\r\n")
    assert b"\r\nContent-Length: 4\r\n" in head
    assert body == b"a 1\n"


@pytest.mark.parametrize(
    ("request_", "status", "body"),
    [
        (b"GET / HTTP/1.0\r\n\r\n", b"200", b"a 1\n"),
        (b"GET /metrics?name=x HTTP/1.0\n\n", b"200", b"a 1\n"),
        (b"HEAD /metrics HTTP/1.1\r\n\r\n", b"200", b""),
        (b"GET /../../etc/passwd HTTP/1.0\r\n\r\n", b"404", b"Not Found\n"),
        (b"DELETE / HTTP/1.1\r\n\r\n", b"405", b"Method Not Allowed\n"),
        (b"POST / HTTP/1.1\r\nContent-Length: 100000\r\n\r\n" + b"x" * 100_000, b"405", b"Method Not Allowed\n"),
        (b"\0\xff" * 100 + b"\r\n\r\n", b"400", b"Bad Request\n"),
        (b"GET /" + b"a" * MAX_REQUEST, b"431", b"Request Header Fields Too Large\n"),
    ],
    ids=lambda value: str(value[:16]),
)
def test_what_is_asked_for_is_answered(server: HttpServer, request_: bytes, status: bytes, body: bytes) -> None:
    head, answered = ask(server, request_)
    assert head.split()[1] == status
    assert answered == body


def test_whoever_can_unpack_it_gets_it_packed(server: HttpServer) -> None:
    head, body = ask(server, b"GET / HTTP/1.1\r\nAccept-Encoding: deflate, gzip;q=0.5\r\n\r\n")
    assert b"Content-Encoding: gzip" in head
    assert gzip.decompress(body) == b"a 1\n"


def test_connections_are_bounded_and_a_scrape_gets_through_all_the_same(server: HttpServer) -> None:
    with contextlib.ExitStack() as stack:
        slow = [stack.enter_context(client(server, b"GET /metrics HT")) for _ in range(3 * MAX_CONNECTIONS)]
        eventually(lambda: sum(map(is_closed, slow)) >= 2 * MAX_CONNECTIONS)
        assert not is_closed(slow[-1])
        assert ask(server, GET)[1] == b"a 1\n"


def test_a_request_that_does_not_come_is_given_up(server: HttpServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http, "REQUEST_SECONDS", 0.05)
    with client(server, b"GET /metrics HT") as slow:
        assert response(slow) == (b"", b"")


def test_a_client_that_does_not_read_is_given_up(
    server: HttpServer, document: Document, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http, "RESPONSE_SECONDS", 0.05)
    document.body = b"x" * (1 << 25)
    with client(server, GET) as slow:
        eventually(lambda: document.made)
        eventually(lambda: not server._connections)
        with contextlib.suppress(ConnectionResetError):
            assert len(response(slow)[1]) < 1 << 25
    assert ask(server, b"HEAD / HTTP/1.1\r\n\r\n")[0].startswith(b"HTTP/1.1 200")


def test_requests_that_wait_share_one_document(server: HttpServer, document: Document) -> None:
    document.may_end.clear()
    with contextlib.ExitStack() as stack:
        first = stack.enter_context(client(server, GET))
        eventually(lambda: document.made == 1)
        others = [stack.enter_context(client(server, GET)) for _ in range(8)]
        document.may_end.set()
        assert [response(made)[1] for made in (first, *others)] == [b"a 1\n"] * 9
    assert document.made <= 3  # the last of the others may have been accepted later


def test_where_no_descriptor_is_left_it_waits(
    server: HttpServer, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(http, "NO_DESCRIPTOR_SECONDS", 0.2)

    class Listener:
        def accept(self) -> None:
            monkeypatch.setattr(server, "_listener", real)
            raise OSError(24, "Too many open files")

        fileno = server._listener.fileno

    real = server._listener
    monkeypatch.setattr(server, "_listener", Listener())
    before = time.monotonic()
    assert ask(server, GET)[1] == b"a 1\n"
    assert time.monotonic() - before > 0.1
    assert caplog.text.count("Too many open files") == 1


def test_a_document_that_cannot_be_made_ends_nothing(
    server: HttpServer, document: Document, caplog: pytest.LogCaptureFixture
) -> None:
    del document.body
    for _ in range(3):
        assert ask(server, GET)[0].startswith(b"HTTP/1.1 500 ")
    assert caplog.text.count("No metrics can be had") == 1
    document.body = b"b 2\n"
    assert ask(server, GET)[1] == b"b 2\n"


def test_all_addresses_of_ipv6_are_those_of_ipv4_too(document: Document) -> None:
    try:
        server = HttpServer(("::", 0), document)
    except OSError:
        pytest.skip("no IPv6")
    with contextlib.closing(server), socket.create_connection(("127.0.0.1", server.address[1]), timeout=20) as made:
        made.sendall(GET)
        assert response(made)[1] == b"a 1\n"


def test_it_ends_at_once_whatever_is_open(document: Document) -> None:
    server = HttpServer(("127.0.0.1", 0), document)
    with client(server, b"GET /metrics HT") as slow:
        server.close()
        assert not server._thread.is_alive()
        assert is_closed(slow)
    with pytest.raises(ConnectionRefusedError):
        client(server)
