"""What the interface does not take from clients over HTTP, by setting."""

from __future__ import annotations

import time

import pytest

from tests.support.interface.stand_in import Echo

pytestmark = pytest.mark.native("event loops in native threads")

MEBIBYTE = 1 << 20


def test_headers_over_the_limit_are_431(interface_for):
    running = interface_for(max_header_bytes=2000)
    client = running.site.http()
    assert client.request("GET", "/", headers=[("X", "a" * 1500)]).status == 200
    assert client.request("GET", "/", headers=[("X", "a" * 2100)]).status == 431
    assert running.site.http().request("GET", "/", headers=[(f"X{n}", "a") for n in range(600)]).status == 431
    assert running.site.http().request("GET", "/" + "a" * 3000).status == 431
    assert len(running.worker.of("http.request")) == 1


def test_headers_over_64_kib_are_431_by_default(interface_for):
    site = interface_for().site
    assert site.http().request("GET", "/", headers=[("X", "a" * 60_000)]).status == 200
    assert site.http().request("GET", "/", headers=[("X", "a" * 66_000)]).status == 431


def test_headers_of_a_handshake_over_the_limit_are_431(interface_for):
    running = interface_for(max_header_bytes=2000)
    assert running.site.handshake("/", [("X", "a" * 2100)]).refused().status == 431
    assert running.worker.of("websocket.connect") == []


def test_a_header_bomb_leaves_the_server_alive(interface_for):
    running = interface_for()
    client = running.site.http()
    client.write(b"GET / HTTP/1.1\r\nHost: a\r\n")
    try:
        for number in range(200):
            client.write(b"X%d: %s\r\n" % (number, b"a" * 50_000))
        client.write(b"\r\n")
        status = client.answer().status
    except (ConnectionError, EOFError):
        status = 400
    assert status in (400, 431)
    assert running.site.http().request().status == 200


@pytest.mark.parametrize("declared", [True, False])
def test_a_body_over_the_limit_is_413(interface_for, declared):
    """A gigabyte where a megabyte may come: the answer is there long before all of it was sent."""
    running = interface_for(max_body_bytes=MEBIBYTE)
    client = running.site.http()
    if declared:
        client.write(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % (1 << 30))
    else:
        client.write(b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n")
    part = b"x" * 65_536
    written = 0
    try:
        while written < 1 << 30 and not client.readable():
            if declared:
                client.write(part)
            else:
                client.chunk(part)
            written += len(part)
    except ConnectionError:
        pass  # the answer came before
    assert client.answer().status == 413
    assert written < 100 * MEBIBYTE
    assert running.site.http().request("POST", "/", b"fine").body == b"fine"


def test_a_declared_body_over_the_limit_never_reaches_a_worker(interface_for):
    running = interface_for(max_body_bytes=10)
    assert running.site.http().request("POST", "/", b"12345678901").status == 413
    assert running.site.http().request("POST", "/", b"1234567890").status == 200
    assert len(running.worker.of("http.request")) == 1


def test_a_body_that_does_not_come_is_408(interface_for):
    running = interface_for(body_timeout=0.3)
    client = running.site.http()
    client.write(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000\r\n\r\nx")
    assert client.answer().status == 408


def test_a_body_that_trickles_is_408(interface_for):
    running = interface_for(body_timeout=0.5)
    client = running.site.http()
    client.write(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\n")
    started = time.monotonic()
    while not client.readable(0.02):
        client.write(b"x")
        assert time.monotonic() - started < 10
    assert client.answer().status == 408


def test_a_body_that_stops_after_a_worker_has_begun_ends_for_both(interface_for):
    bodies = []

    class Reads(Echo):
        def request(self, worker, message):
            bodies.append(worker.whole_body(message))
            if bodies[-1] is not None:
                worker.reply(message, {"status": 204, "headers": [], "content": b""})

    running = interface_for(Reads(), body_timeout=0.4)
    client = running.site.http()
    client.write(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\n" + b"x" * 200_000)
    try:
        status = client.answer().status
    except EOFError:
        status = 408
    assert status == 408
    running.worker.sees("http.request")
    assert running.site.http().request("POST", "/", b"next").status == 204
    assert bodies == [None, b"next"]


@pytest.mark.parametrize(
    "rubbish",
    [
        b"\r\n\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\0" * 500,  # a client that speaks TLS
        b"GET\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: -5\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n12345",
        b"GET / HTTP/1.1\r\nHost: a\r\n: nameless\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n",
    ],
)
def test_rubbish_leaves_the_server_alive(interface_for, rubbish):
    running = interface_for(body_timeout=0.5)
    client = running.site.http()
    client.write(rubbish)
    client.half_close()
    assert client.ended()
    assert running.site.http().request("POST", "/", b"fine").body == b"fine"
