"""Users whom an ACL, or renamed commands, keep from some of what waiting takes: they wait all the same."""

from __future__ import annotations

import logging
import threading
import time

import pytest
import redis

from asgi_redis.embedded import RedisServer
from asgi_redis.engine import outage
from tests.support.waiting import eventually

FORBIDDEN = {
    "no @dangerous": [("user", ["app", "on", ">pw", "~*", "&*", "+@all", "-@dangerous"])],
    "no @blocking": [("user", ["app", "on", ">pw", "~*", "&*", "+@all", "-@blocking"])],
    "no CLIENT": [("rename-command", ["CLIENT", ""])],
    "no BZPOPMIN, TIME, INFO, SCAN": [
        ("rename-command", [name, ""]) for name in ("BZPOPMIN", "CLIENT", "INFO", "SCAN", "CONFIG")
    ],
}


@pytest.fixture(scope="module", params=FORBIDDEN)
def server(request):
    with RedisServer(FORBIDDEN[request.param]) as server:
        yield server


@pytest.fixture
def url(server):
    user = "app:pw@" if any(option == "user" for option, _ in server._options) else ""
    return f"redis://{user}{server.host}:{server.port}/0"


@pytest.fixture
def layer(layer_for, url):
    return layer_for(url)


def blocked_soon():
    time.sleep(0.1)  # where it may not look whether a client waits


def in_background(call):
    results = []
    thread = threading.Thread(target=lambda: results.append(call()))
    thread.start()
    return thread, results


def test_a_message_ends_a_wait(layer):
    layer.block_timeout = 20
    thread, results = in_background(lambda: layer.receive(["work"], block=True))
    blocked_soon()
    started = time.monotonic()
    layer.send("work", {"n": 1})
    thread.join()
    assert results == [("work", {"n": 1})]
    assert time.monotonic() - started < 10


def test_a_wait_for_nothing_ends_in_time(layer):
    started = time.monotonic()
    assert layer.receive_batch(["work", "other"], 10, 0.3) == []
    assert 0.3 <= time.monotonic() - started < 5


def test_unblock_ends_a_wait_and_leaves_nothing_behind(layer, server, prefix):
    thread, results = in_background(lambda: layer.receive_batch(["work"], 1, 30))
    blocked_soon()
    started = time.monotonic()
    eventually(lambda: layer.unblock() or not thread.is_alive())
    assert results == [[]]
    assert time.monotonic() - started < 10
    with redis.Redis(port=server.port, protocol=2) as client:
        assert all(client.pttl(key) > 0 for key in client.keys(f"{prefix}*"))
    layer.send("work", {"n": 1})
    assert layer.receive(["work"], block=True) == ("work", {"n": 1})


def test_of_two_shards_the_other_one_holds_up_no_message(layer_for, url, redis_server, prefix):
    layer, other = layer_for(url, redis_server), layer_for(redis_server)
    layer.receive_batch(["work"], 1, 0.01)
    thread, results = in_background(lambda: layer.receive_batch(["work"], 10, 30))
    blocked_soon()
    started = time.monotonic()
    other.send("work", {"n": 1})
    thread.join()
    assert results == [[("work", {"n": 1})]]
    assert time.monotonic() - started < 10


def test_a_reader_waits_without_a_line_in_the_log(layer, caplog):
    with caplog.at_level(logging.WARNING, "asgi_redis"):
        reader = layer.reader()
        for n in range(5):
            assert reader.receive_batch(["work"], 10, 0.05) == []
            assert reader.serving
            layer.send("work", {"n": n})
            assert reader.receive_batch(["work"], 10, 0.05) == [("work", {"n": n})]
        reader.close()
    assert caplog.messages == []


def test_what_is_forbidden_while_it_waits_is_found_out(layer_for, fresh_redis_server):
    layer = layer_for(f"redis://app:pw@{fresh_redis_server.host}:{fresh_redis_server.port}/0")
    with redis.Redis(port=fresh_redis_server.port, protocol=2) as client:
        rules = ["on", ">pw", "~*", "&*", "+@all"]
        client.execute_command("ACL", "SETUSER", "app", *rules)
        # Long enough that it asks what is allowed, and waits.
        assert layer.receive_batch(["work"], 1, 1) == []
        client.execute_command("ACL", "SETUSER", "app", "-client", "-bzpopmin")
        with pytest.raises(redis.exceptions.NoPermissionError):
            layer.receive_batch(["work"], 1, 2)
        assert layer.receive_batch(["work"], 1, 0.01) == []
        layer.send("work", {"n": 1})
        assert layer.receive(["work"], block=True) == ("work", {"n": 1})


@pytest.mark.parametrize("block", [True, False])
def test_without_time_nothing_is_taken(layer_for, fresh_redis_server, block):
    """``TIME`` follows the pop, in one request: it would have taken the message."""
    with redis.Redis(port=fresh_redis_server.port, protocol=2) as client:
        client.execute_command("ACL", "SETUSER", "app", "on", ">pw", "~*", "&*", "+@all", "-time")
    layer_for(fresh_redis_server).send("work", {"n": 1})
    layer = layer_for(f"redis://app:pw@{fresh_redis_server.host}:{fresh_redis_server.port}/0")
    with pytest.raises(redis.exceptions.ResponseError):
        layer.receive(["work"], block=block)
    assert layer_for(fresh_redis_server).receive(["work"]) == ("work", {"n": 1})


def test_time_that_is_forbidden_later_costs_no_more_than_the_message_that_shows_it(layer_for, fresh_redis_server):
    with redis.Redis(port=fresh_redis_server.port, protocol=2) as client:
        client.execute_command("ACL", "SETUSER", "app", "on", ">pw", "~*", "&*", "+@all")
        layer = layer_for(f"redis://app:pw@{fresh_redis_server.host}:{fresh_redis_server.port}/0")
        assert layer.receive(["work"]) == (None, None)  # after this a look at one queue runs no script
        sent = [("work", {"n": n}) for n in range(3)]
        for channel, message in sent:
            layer.send(channel, message)
        client.execute_command("ACL", "SETUSER", "app", "-time")
    for _ in range(3):
        with pytest.raises(redis.exceptions.ResponseError):
            layer.receive(["work"])
    assert layer_for(fresh_redis_server).receive_batch(["work"], 3) in (sent, sent[1:])


WAIT_SECONDS = 0.2  # long enough for the proxy to close the connection: a wait that ends in time ends the outage


class TestAWaitThatFailsWhereLookingDoesNot:
    """Such as behind a proxy that knows no blocking commands, and closes the connection."""

    def test_is_two_lines_however_long_it_lasts(self, layer_for, proxy, caplog, monkeypatch):
        monkeypatch.setattr(outage, "LONGEST_DELAY_SECONDS", 0.2)
        layer = layer_for(proxy.url)
        reader = layer.reader()
        assert reader.receive_batch(["work"], 1, 0.01) == []
        proxy.cut_on(b"BZPOPMIN", forward=False, times=1000)
        received = []
        with caplog.at_level(logging.WARNING, "asgi_redis"):
            for n in range(12):
                layer.send("work", {"n": n})
                received += eventually(lambda: reader.receive_batch(["work"], 10, WAIT_SECONDS))
                reader.receive_batch(["work"], 10, WAIT_SECONDS)
            assert proxy.cuts > 2
            assert [content["n"] for _, content in received] == list(range(12))
            assert len(caplog.messages) == 1
            proxy.disarm()
            eventually(lambda: reader.receive_batch(["work"], 10, WAIT_SECONDS) or len(caplog.messages) == 2)
        assert "does not serve" in caplog.messages[0]
        assert "serves messages again" in caplog.messages[1]
        reader.close()

    def test_the_back_off_goes_on(self, layer_for, proxy):
        layer = layer_for(proxy.url)
        reader = layer.reader()
        reader.receive_batch(["work"], 1, 0.01)
        proxy.cut_on(b"BZPOPMIN", forward=False, times=1000)
        until = time.monotonic() + 1.5
        while time.monotonic() < until:
            reader.receive_batch(["work"], 10, WAIT_SECONDS)
        assert proxy.cuts < 15  # dozens without it
        reader.close()
