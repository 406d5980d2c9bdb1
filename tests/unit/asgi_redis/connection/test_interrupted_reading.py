"""Interruptions while the reply to a blocking pop comes in: it is read to its end, and no message is lost."""

from __future__ import annotations

import logging
import signal
import sys
import threading
import time

import pytest
import redis

from asgi_redis.connection import Server, Shard, exchange, parse_hosts
from tests.support.proxy import Proxy
from tests.support.queues import blocked_clients, put, queued
from tests.support.shards import connections_are_sound
from tests.support.waiting import eventually

pytestmark = pytest.mark.native("gevent raises a signal handler's exception in its hub")


class Interruption(BaseException):
    """Like gevent.Timeout: no Exception."""


@pytest.fixture
def proxy(redis_server):
    with Proxy((redis_server.host, redis_server.port)) as proxy:
        yield proxy


@pytest.fixture(params=["hiredis", "Python"])
def shard(request, proxy, monkeypatch):
    if request.param == "Python":
        monkeypatch.setattr(exchange, "hiredis", None)
    elif exchange.hiredis is None:
        pytest.skip("without hiredis")
    (host,) = parse_hosts([proxy.url])
    server = Server(host)
    # What Redis tells of itself when it is connected to has the names of errors in it.
    for connection in [server.checkout() for _ in range(3)]:
        server.release(connection)
    yield Shard(server)
    server.drop_idle()


@pytest.fixture
def direct(redis_server):
    (server,) = [Server(host) for host in parse_hosts([redis_server.url], None)]
    yield Shard(server)
    server.drop_idle()


class Parsing:
    """Whether the main thread waits for bytes in the middle of a reply."""

    def __init__(self):
        self._last, self._times = None, 0

    def __call__(self):
        frame = sys._current_frames()[threading.main_thread().ident]
        here = (frame.f_code.co_name, frame.f_lasti)
        self._times = self._times + 1 if here == self._last else 0
        self._last = here
        return frame.f_code.co_name in ("receive", "poll") and self._times > 3


@pytest.fixture
def interrupt(proxy):
    """``interrupt(then, times=1)``: once a reply is held, raises in the main thread, and does ``then``."""
    caught, threads = [], []

    def handler(*_):
        caught.append(1)
        raise Interruption

    before = signal.signal(signal.SIGUSR1, handler)

    def run(then, times):
        assert proxy.held.wait(10)
        for number in range(times):
            eventually(Parsing())
            signal.pthread_kill(threading.main_thread().ident, signal.SIGUSR1)
            eventually(lambda number=number: len(caught) > number)
        then()

    def start(then, times=1):
        threads.append(threading.Thread(target=run, args=(then, times)))
        threads[0].start()

    yield start
    threads[0].join()
    signal.signal(signal.SIGUSR1, before)


@pytest.mark.parametrize(("size", "length"), [(100_000, 20_000), (10, -60), (10, -4)], ids=["long", "short", "time"])
def test_a_message_is_put_back(wait, shard, direct, operations, key, proxy, interrupt, size, length):
    member = b"m" * size
    put(direct, operations, member)
    proxy.hold_reply(b"mmm", length)
    interrupt(proxy.release)
    with pytest.raises(Interruption):
        wait(on=[shard])
    assert queued([direct], operations, key) == [member]
    assert connections_are_sound([shard])
    assert len(shard.server._idle) == 3


@pytest.mark.parametrize("length", [4, -4])
def test_the_end_of_a_wait_leaves_no_pop_behind(
    wait, shard, direct, operations, key, proxy, interrupt, length, redis_server
):
    proxy.hold_reply(b"UNBLOCKED", length)
    interrupt(proxy.release)
    with pytest.raises(Interruption):
        wait(0.01, on=[shard])
    assert blocked_clients(redis_server) == 0
    assert connections_are_sound([shard])
    put(direct, operations, b"m")
    assert wait(on=[shard]) == b"m"


def test_an_error_is_read_to_its_end(wait, shard, operations, key, proxy, interrupt, redis_server):
    with redis.Redis(port=redis_server.port, protocol=2) as client:
        client.set(key, "a string")
        proxy.hold_reply(b"WRONGTYPE", -4)
        interrupt(proxy.release)
        with pytest.raises(Interruption):
            wait(on=[shard])
        assert connections_are_sound([shard])
        client.delete(key)
    assert wait(0.01, on=[shard]) is None


def test_what_is_lost_with_the_line_is_logged(wait, shard, direct, operations, proxy, interrupt, caplog):
    put(direct, operations, b"m" * 1000)
    proxy.hold_reply(b"mmm", 500)
    interrupt(proxy.cut)
    with caplog.at_level(logging.ERROR, "asgi_redis"), pytest.raises(Interruption):
        wait(on=[shard])
    (line,) = caplog.messages
    assert str(shard.name) in line
    assert "mmm" not in line


def test_a_second_interruption_loses_nothing(wait, shard, direct, operations, key, proxy, interrupt):
    put(direct, operations, b"m" * 1000)
    proxy.hold_reply(b"mmm", 500)
    interrupt(proxy.release, times=2)
    with pytest.raises(Interruption):
        wait(on=[shard])
    assert queued([direct], operations, key) == [b"m" * 1000]
    assert connections_are_sound([shard])


def test_the_rest_of_a_reply_that_comes_late_is_waited_for_by_a_thread(
    wait, shard, direct, operations, key, proxy, interrupt
):
    put(direct, operations, b"m" * 1000)
    proxy.hold_reply(b"mmm", 500)
    interrupt(lambda: None)
    started = time.monotonic()
    with pytest.raises(Interruption):
        wait(on=[shard])
    assert time.monotonic() - started < 10  # a connection's own timeout is 20 s
    proxy.release()
    assert shard.server.background_replies.settle(time.monotonic() + 10)
    assert queued([direct], operations, key) == [b"m" * 1000]
    assert connections_are_sound([shard])
