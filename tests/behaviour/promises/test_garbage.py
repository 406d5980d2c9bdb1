"""Bad input never kills a reader, nor does it show up in a log."""

from __future__ import annotations

import random
import threading
import time

import pytest
import redis

from tests.support.reading import each_way_to_read, until_received
from tests.support.waiting import eventually


class TestGarbage:
    """What somebody else has put into a queue is dropped and logged, and what is behind it is read."""

    GARBAGE = [
        b"",
        b"short",
        b"\xc1" * 40,
        b"x" * 12,
        b"x" * 12 + b"\x93\x01\x02\x03",
        *(random.Random(length).randbytes(length) for length in (11, 500)),
    ]

    @pytest.mark.parametrize(
        "options",
        [{}, {"serializer_format": "json"}, {"symmetric_encryption_keys": ["key"]}],
        ids=["msgpack", "json", "encrypted"],
    )
    @pytest.mark.parametrize("channel", ["work", "specific.one!"])
    @each_way_to_read
    def test_is_dropped_and_the_next_message_read(
        self, layer_for, redis_server, prefix, caplog, monkeypatch, options, channel, read
    ):
        monkeypatch.setattr("asgi_redis.engine.receiver.FLOOD_SECONDS", 10)  # however busy the machine is
        layer = layer_for(redis_server, **options)
        with redis.Redis.from_url(redis_server.unix_url, protocol=2) as client:
            now = time.time()
            for garbage in self.GARBAGE:
                client.zadd(prefix + channel, {garbage: now})
        name = channel + "x" if channel.endswith("!") else channel
        layer.send(name, {"number": 1})
        assert read(layer, [channel]) == (name, {"number": 1})
        assert layer.undecodable_count == len(self.GARBAGE)
        assert channel in caplog.text
        assert "short" not in caplog.text
        assert "xxxxxxxxxxxx" not in caplog.text

    def test_the_message_behind_it_is_read_though_the_time_of_the_wait_is_over(
        self, layer_for, redis_server, proxy, prefix
    ):
        layer = layer_for(proxy.url)
        assert layer.receive_batch(["work"], 1, 0.01) == []  # connects
        with redis.Redis.from_url(redis_server.unix_url, protocol=2) as client:
            client.zadd(f"{prefix}work", {b"garbage" * 5: time.time()})
        layer_for(redis_server).send("work", {"number": 1})
        proxy.delay = 0.25  # so the time is over when the garbage comes
        assert layer.receive_batch(["work"], 1, 0.2) == [("work", {"number": 1})]

    def test_of_a_message_under_another_key_neither_content_nor_key_is_logged(self, layer_for, redis_server, caplog):
        theirs = layer_for(redis_server, symmetric_encryption_keys=["their-key"])
        ours = layer_for(redis_server, symmetric_encryption_keys=["our-key"])
        plain = layer_for(redis_server)
        theirs.send("work", {"text": "very-secret"})
        plain.send("work", {"text": "very-secret"})
        ours.send("work", {"text": "hello"})
        received = [ours.receive(["work"]) for _ in range(3)]
        assert [item for item in received if item != (None, None)] == [("work", {"text": "hello"})]
        assert "work" in caplog.text
        for word in ("very-secret", "their-key", "our-key"):
            assert word not in caplog.text

    def test_a_blocking_receive_goes_on_waiting_after_garbage(self, layer_for, redis_server, prefix):
        layer = layer_for(redis_server)
        received = []
        thread = threading.Thread(target=lambda: received.append(until_received(layer, ["work"])))
        thread.start()
        with redis.Redis.from_url(redis_server.unix_url, protocol=2) as client:
            eventually(lambda: client.info("clients")["blocked_clients"])
            client.zadd(f"{prefix}work", {b"garbage" * 5: time.time()})
        layer.send("work", {"number": 1})
        thread.join(20)
        assert received == [("work", {"number": 1})]
