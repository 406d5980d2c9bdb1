"""A key of another type in the place of a queue costs that channel alone: others get what is sent, and when due."""

from __future__ import annotations

import asyncio
import logging

import pytest
import redis

from asgi_redis.aio import AsyncChannelLayer
from asgi_redis.engine import delayed, group_send
from asgi_redis.wire.delayed import DelayedEntry
from tests.support.waiting import eventually


@pytest.fixture
def misuse(redis_server, three_redis_servers, prefix):
    """``misuse(channel)`` puts a string in the place of its queue, wherever that may be."""

    def put(channel):
        for server in (redis_server, *three_redis_servers):
            with redis.Redis(port=server.port, protocol=2) as client:
                client.set(f"{prefix}{channel}", "a string", ex=60)

    return put


class TestGroups:
    def test_the_others_are_served_before_the_error(self, any_layer, misuse):
        channels = ["a", "p!a", "bad", "c", "q!c", "reply?d"]
        for channel in channels:
            any_layer.group_add("chat", channel)
        misuse("bad")
        for _ in range(3):
            with pytest.raises(redis.exceptions.ResponseError, match=r"^WRONGTYPE .*bad") as raised:
                any_layer.send_group("chat", {"text": "all"})
            assert "all" not in str(raised.value)
        for channel in channels:
            if channel != "bad":
                queue = any_layer.non_local_name(channel)
                assert any_layer.receive_batch([queue], 10) == [(channel, {"text": "all"})] * 3
        assert any_layer.global_statistics()["messages_count"] == 3 * 5
        any_layer.group_discard("chat", "bad")
        assert any_layer.send_group("chat", {}) == 0

    def test_an_asynchronous_layer_serves_them_too(self, layer, misuse):
        async def send():
            asynchronous = AsyncChannelLayer(layer)
            for channel in ("a", "bad", "c"):
                await asynchronous.group_add("chat", channel)
            misuse("bad")
            with pytest.raises(redis.exceptions.ResponseError, match="WRONGTYPE"):
                await asynchronous.group_send("chat", {})
            return [await asynchronous.receive(channel) for channel in ("a", "c")]

        assert asyncio.run(send()) == [{}, {}]

    def test_in_whichever_request_they_are(self, layer, misuse, monkeypatch):
        monkeypatch.setattr(group_send, "_QUEUE_COST", group_send.MAX_SCRIPT_BYTES)
        channels = [f"c{number}" for number in range(40)]
        for channel in ["bad", *channels]:
            layer.group_add("chat", channel)
        misuse("bad")
        with pytest.raises(redis.exceptions.ResponseError, match="WRONGTYPE"):
            layer.send_group("chat", {})
        assert sorted(channel for channel, _ in layer.receive_batch(channels, 100)) == sorted(channels)

    def test_what_is_full_on_one_shard_goes_to_another_all_the_same(self, sharded, misuse):
        sharded.capacity = 3  # one on each shard
        for channel in ("bad", "work"):
            sharded.group_add("chat", channel)
        misuse("bad")
        for _ in range(2):
            sharded.send("work", {})
        with pytest.raises(redis.exceptions.ResponseError, match="WRONGTYPE"):
            sharded.send_group("chat", {})
        assert sharded.channel_statistics("work")["messages_pending"] == 3


class TestDelayed:
    @pytest.fixture(autouse=True)
    def prompt(self, monkeypatch):
        monkeypatch.setattr(delayed, "RETRY_SECONDS", 0.05)

    def test_it_does_not_hold_up_the_others(self, any_layer, misuse, monkeypatch, caplog):
        monkeypatch.setattr(delayed, "_AT_ONCE", 2)
        misuse("bad")
        for _ in range(7):
            any_layer.delayed.send("bad", {"text": "secret"}, 0)
        for number in range(3):
            any_layer.delayed.send("good", {"n": number}, 0)
        received = []

        def all_have_come():
            any_layer.delayed.deliver()
            received.extend(message["n"] for _, message in any_layer.receive_batch(["good"], 10))
            return len(received) == 3

        with caplog.at_level(logging.WARNING, "asgi_redis"):
            eventually(all_have_come)
            assert any_layer.delayed.deliver() <= 0.05
        assert sorted(received) == [0, 1, 2]
        (line,) = caplog.messages
        assert "channel 'bad'" in line
        assert "WRONGTYPE" in line
        assert "secret" not in line

    def test_its_own_come_once_it_is_a_queue_again(self, layer, misuse, client, prefix, caplog):
        misuse("bad")
        layer.delayed.send("bad", {"n": 1}, 0)
        assert layer.delayed.deliver() == 0.05
        keys = client.keys(f"{prefix}:*")
        assert sorted(keys) == [f"{prefix}:waiting".encode(), f"{prefix}:waiting:bad".encode()]
        assert all(0 < client.ttl(key) <= 86400 for key in keys)
        client.delete(f"{prefix}bad")
        eventually(lambda: layer.delayed.deliver() is None)
        assert layer.receive(["bad"]) == ("bad", {"n": 1})
        assert client.keys(f"{prefix}:*") == []
        misuse("bad")
        layer.delayed.send("bad", {"n": 2}, 0)
        layer.delayed.deliver()
        assert len([line for line in caplog.messages if "channel 'bad'" in line]) == 2

    def test_counters_that_are_none_delay_nothing_and_double_nothing(self, layer, client, prefix):
        client.set(f"{prefix}-meta:a", "a string", ex=60)
        for channel in ("a", "b"):
            layer.delayed.send(channel, {"n": 1}, 0)
        assert layer.delayed.deliver() is None
        assert layer.receive_batch(["a"], 10) == [("a", {"n": 1})]
        assert layer.receive_batch(["b"], 10) == [("b", {"n": 1})]

    def test_what_somebody_else_has_delivered_does_not_wait(self, layer, client, prefix):
        (shard,) = layer._shards
        gone = layer.delayed._operations[0].wait([DelayedEntry(b"gone", b"1")], b"c", 1.0)
        assert shard.execute(gone) is False
        assert client.keys(f"{prefix}:*") == []

    def test_a_redis_that_refuses_everything_is_an_error_as_ever(self, layer_for, fresh_redis_server, caplog):
        layer = layer_for(fresh_redis_server)
        layer.delayed.send("c", {"n": 1}, 0)
        with redis.Redis(port=fresh_redis_server.port, protocol=2) as client:
            client.config_set("min-replicas-to-write", 1)
            with pytest.raises(redis.exceptions.ResponseError, match="NOREPLICAS"):
                layer.delayed.deliver()
            client.config_set("min-replicas-to-write", 0)
        assert caplog.messages == []
        assert layer.delayed.deliver() is None
        assert layer.receive(["c"]) == ("c", {"n": 1})


class TestCounters:
    """Where another program has put something in the place of counters, nothing is counted, and that is all."""

    @pytest.fixture(params=["a", "#global#"])
    def counters(self, request, redis_server, three_redis_servers, prefix):
        for server in (redis_server, *three_redis_servers):
            with redis.Redis(port=server.port, protocol=2) as client:
                client.set(f"{prefix}-meta:{request.param}", "a string", ex=60)

    def test_a_send_goes_through(self, any_layer, counters):
        any_layer.send("a", {"n": 1})
        assert any_layer.receive_batch(["a"], 10) == [("a", {"n": 1})]

    def test_a_refusal_is_one(self, any_layer, counters):
        any_layer.capacity = 1
        any_layer.send("a", {})
        with pytest.raises(any_layer.ChannelFull):
            any_layer.send("a", {})

    def test_a_group_send_reaches_all(self, any_layer, counters):
        channels = ["z", "a", "b", "p!x"]
        for channel in channels:
            any_layer.group_add("chat", channel)
        assert any_layer.send_group("chat", {}) == 0
        received = any_layer.receive_batch(["z", "a", "b", "p!"], 10)
        assert sorted(channel for channel, _ in received) == sorted(channels)

    def test_delayed_messages_come_once(self, any_layer, counters):
        for number in range(3):
            any_layer.delayed.send("a", {"n": number}, 0)
        assert any_layer.delayed.deliver() is None
        assert sorted(message["n"] for _, message in any_layer.receive_batch(["a"], 10)) == [0, 1, 2]

    def test_expired_messages_are_dropped(self, layer, counters, client, prefix):
        client.zadd(f"{prefix}a", {b"m%d" % number: number for number in range(100)})
        layer.send("a", {"n": 1})
        assert layer.receive_batch(["a"], 10) == [("a", {"n": 1})]
