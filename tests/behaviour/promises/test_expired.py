"""Messages that expire in their queues are counted, and told in the log."""

from __future__ import annotations

import logging

import pytest
import redis

from asgi_redis import ChannelFull
from asgi_redis.engine import dropped


@pytest.fixture
def client(redis_server):
    with redis.Redis(port=redis_server.port, protocol=2) as client:
        yield client


def expire(client, prefix, channel, number):
    client.zadd(f"{prefix}{channel}", {f"{channel}{n}".encode(): n for n in range(number)})


def test_a_reader_counts_those_that_it_finds(layer_for, redis_server, client, prefix):
    layer = layer_for(redis_server)
    expire(client, prefix, "a", 3)
    expire(client, prefix, "p!", 2)
    layer.send("a", {"n": 1})
    assert layer.receive_batch(["a", "p!"], 10) == [("a", {"n": 1})]
    counts = [layer.channel_statistics(channel)["messages_expired"] for channel in ("a", "p!", "b")]
    assert counts == [3, 2, 0]
    assert layer.global_statistics()["messages_expired"] == 5


@pytest.mark.parametrize("number", [1, 5])
def test_each_look_at_one_queue_counts_them_and_finds_the_message_behind(
    layer_for, redis_server, client, prefix, number
):
    layer = layer_for(redis_server)
    for count in (1, 2, 3):
        expire(client, prefix, "a", number)
        assert layer.receive(["a"]) == (None, None)
        expire(client, prefix, "b", number)
        layer.send("b", {"n": 1})
        assert layer.receive(["b"]) == ("b", {"n": 1})
        counts = [layer.channel_statistics(channel)["messages_expired"] for channel in ("a", "b")]
        assert counts == [count * number] * 2


@pytest.mark.parametrize("shards", [1, 3])
def test_one_that_waits_counts_them_too(layer_for, three_redis_servers, prefix, shards):
    layer = layer_for(*three_redis_servers[:shards])
    for server in three_redis_servers[:shards]:
        with redis.Redis(port=server.port, protocol=2) as client:
            expire(client, prefix, "a", 4)
    assert layer.receive_batch(["a"], 1, timeout=0.01) == []
    assert layer.channel_statistics("a")["messages_expired"] == 4 * shards


def test_a_send_that_needs_their_room_counts_them(layer_for, redis_server, client, prefix):
    layer = layer_for(redis_server, capacity=2)
    for channel in ("a", "b"):
        expire(client, prefix, channel, 2)
    layer.send("a", {})
    layer.send("a", {})
    with pytest.raises(ChannelFull):
        layer.send("a", {})
    layer.group_add("chat", "b")
    assert layer.send_group("chat", {}) == 0
    assert [layer.channel_statistics(channel)["messages_expired"] for channel in ("a", "b")] == [2, 2]
    assert layer.global_statistics()["messages_expired"] == 4


def test_the_log_has_a_line_a_minute_with_their_number(layer_for, redis_server, client, prefix, caplog, monkeypatch):
    monkeypatch.setattr(dropped, "LOG_INTERVAL_SECONDS", 1000.0)
    layer = layer_for(redis_server)
    with caplog.at_level(logging.WARNING, "asgi_redis"):
        for channel in ("a", "b", "c"):
            expire(client, prefix, channel, 3)
            assert layer.receive([channel]) == (None, None)
        assert caplog.messages == ["Dropped expired messages: 3, the last on channel 'a'"]
        monkeypatch.setattr(dropped, "LOG_INTERVAL_SECONDS", 0.0)
        expire(client, prefix, "c", 1)
        layer.receive(["c"])
    assert caplog.messages[1:] == ["Dropped expired messages: 7, the last on channel 'c'"]


def test_counters_that_are_none_cost_no_message(layer_for, redis_server, client, prefix):
    layer = layer_for(redis_server)
    client.set(f"{prefix}-meta:a", "a string", ex=60)
    expire(client, prefix, "a", 2)
    layer.send("a", {"n": 1})
    assert layer.receive(["a"]) == ("a", {"n": 1})
    assert client.get(f"{prefix}-meta:a") == b"a string"
