"""A flood of messages that cannot be decoded: every call returns in its time, and the log stays readable."""

from __future__ import annotations

import contextlib
import threading
import time

import pytest
import redis

from asgi_redis import InMemoryChannelLayer
from asgi_redis.engine.dropped import DroppedMessages
from tests.support.waiting import eventually


@pytest.fixture
def flood(redis_server, prefix):
    """Puts garbage into the queue of ``work``, faster than it can be read, in a with block."""

    @contextlib.contextmanager
    def flood():
        stop = threading.Event()

        def run():
            number = 0
            with redis.Redis.from_url(redis_server.unix_url, protocol=2) as client:
                while not stop.is_set():
                    pipeline = client.pipeline(transaction=False)
                    for _ in range(500):
                        number += 1
                        pipeline.zadd(f"{prefix}work", {b"x%011d\xc1" % number: time.time()})
                    pipeline.execute()
                client.delete(f"{prefix}work")

        thread = threading.Thread(target=run)
        thread.start()
        try:
            with redis.Redis.from_url(redis_server.unix_url, protocol=2) as client:
                eventually(lambda: client.zcard(f"{prefix}work") > 500)
            yield
        finally:
            stop.set()
            thread.join()

    return flood


def seconds(call):
    started = time.monotonic()
    assert call() in ([], (None, None))
    return time.monotonic() - started


@pytest.mark.parametrize("shards", [1, 3])
def test_each_call_returns_in_its_time(layer_for, redis_server, three_redis_servers, flood, shards):
    layer = layer_for(*[redis_server, *three_redis_servers][:shards])
    with flood():
        assert seconds(lambda: layer.receive(["work"])) < 10
        assert seconds(lambda: layer.receive_batch(["work"], 10)) < 10
        assert 0.3 <= seconds(lambda: layer.receive_batch(["work"], 1, 0.3)) < 10
        assert 0.3 <= seconds(lambda: layer.receive_batch(["work"], 10, 0.3)) < 10


def test_an_unblocking_ends_it_in_every_round(layer_for, redis_server, flood):
    layer = layer_for(redis_server)
    reader = layer.reader()
    with flood():
        for unblock, receive in [
            (layer.unblock, lambda: layer.receive_batch(["work"], 1, 20)),
            (layer.unblock, lambda: layer.receive_batch(["work"], 10, 20)),
            (reader.unblock, lambda: reader.receive_batch(["work"], 1, 20)),
        ]:
            timer = threading.Timer(0.2, unblock)
            timer.start()
            assert seconds(receive) < 10
            timer.join()


def test_the_message_behind_it_is_received(layer_for, redis_server, flood):
    layer = layer_for(redis_server, capacity=10**6)
    with flood():
        assert seconds(lambda: layer.receive(["work"])) < 10
    assert layer.undecodable_count
    layer.send("work", {"n": 1})
    assert layer.receive(["work"]) == ("work", {"n": 1})


def test_there_is_a_line_a_minute_with_the_number(caplog, monkeypatch):
    now = 1000.0
    monkeypatch.setattr("asgi_redis.engine.dropped.time.monotonic", lambda: now)
    dropped = DroppedMessages("that cannot be decoded")
    for _ in range(5):
        dropped.add("work", "ValueError")
    dropped.add("other\n", "TypeError")
    now += 59
    dropped.add("work", "ValueError")
    now += 1
    dropped.add("work", "KeyError")
    assert dropped.count == 8
    assert caplog.messages == [
        "Dropped a message on channel 'work' that cannot be decoded: ValueError",
        "Dropped a message on channel 'other\\n' that cannot be decoded: TypeError",
        "Dropped 6 messages on channel 'work' that cannot be decoded: KeyError",
    ]


def test_what_is_known_of_channels_is_bounded():
    dropped = DroppedMessages("that cannot be decoded")
    for number in range(5000):
        dropped.add(f"work.{number}", "ValueError")
    assert dropped.count == 5000
    assert len(dropped._lines) == 1000


@pytest.mark.native("greenlets that never wait keep the others from running")
def test_a_store_returns_in_its_time():
    layer = InMemoryChannelLayer(capacity=10**6)
    stop = threading.Event()

    def run():
        while not stop.is_set():
            layer.store.push([("work", "work", b"\xc1", 10**6)] * 1000, 60)

    thread = threading.Thread(target=run)
    thread.start()
    try:
        assert seconds(lambda: layer.receive(["work"])) < 10
        assert seconds(lambda: layer.receive_batch(["work"], 1, 0.3)) < 10
        timer = threading.Timer(0.2, layer.unblock)
        timer.start()
        assert seconds(lambda: layer.receive_batch(["work"], 1, 20)) < 10
        timer.join()
    finally:
        stop.set()
        thread.join()


def test_a_store_looks_behind_what_it_drops_while_it_waits():
    layer = InMemoryChannelLayer(capacity=10**6)
    layer.store.push([("work", "work", b"\xc1", 10**6)] * 50_000, 60)
    layer.send("work", {"n": 1})
    assert layer.receive_batch(["work"], 1, 30) == [("work", {"n": 1})]
    assert layer.undecodable_count == 50_000
