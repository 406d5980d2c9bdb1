"""Delayed messages: kept in Redis, delivered when due, neither lost nor doubled."""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
import threading
import time

import pytest

from asgi_redis import MessageTooLarge
from asgi_redis.engine import delayed
from asgi_redis.wire.expiry import MAX_EXPIRY_SECONDS
from tests.support.waiting import eventually

CHANNELS = ["normal", "single?abc", "local.1!abc"]


def received(layer, channel):
    """Delivers, and returns the next message of ``channel`` or None."""
    layer.delayed.deliver()
    return layer.receive([layer.non_local_name(channel)])[1]


@pytest.mark.parametrize("channel", CHANNELS)
def test_a_message_comes_when_it_is_due_and_not_before(any_layer, channel):
    sent = {"a": [1, "b"]}
    any_layer.delayed.send(channel, sent, 0.7)
    assert received(any_layer, channel) is None
    wait = any_layer.delayed.deliver()
    assert 0 < wait <= 0.7
    assert eventually(lambda: received(any_layer, channel)) == {"a": [1, "b"]}
    assert received(any_layer, channel) is None
    assert any_layer.delayed.deliver() is None
    assert sent == {"a": [1, "b"]}


def test_they_come_in_the_order_of_their_times(layer):
    for n in (2, 0, 1):
        layer.delayed.send("c", {"n": n}, n / 4)
    assert [eventually(lambda: received(layer, "c"))["n"] for _ in range(3)] == [0, 1, 2]


def test_a_delayed_message_lives_longer_than_expiry(layer_for, redis_server, monkeypatch):
    """Both its key and, encrypted, its own time stamp."""
    layer = layer_for(redis_server, expiry=0.5, symmetric_encryption_keys=["key"])
    with monkeypatch.context() as patch:
        long_ago = time.time() - 1000
        patch.setattr(time, "time", lambda: long_ago)
        layer.delayed.send("c", {"n": 1}, 0.8)
    assert eventually(lambda: received(layer, "c")) == {"n": 1}


def test_a_delivered_message_expires_like_any_other(layer_for, redis_server, client, prefix):
    layer = layer_for(redis_server, expiry=7)
    layer.delayed.send("c", {}, 0)
    layer.delayed.deliver()
    assert 6000 < client.pttl(f"{prefix}c") <= 7000


def test_the_keys_have_a_ttl_past_the_last_due_time(layer, client, prefix):
    layer.delayed.send("c", {}, 1000)
    layer.delayed.send("c", {}, 1)
    assert 1000 + 86400 - 5 < client.ttl(f"{prefix}:delayed") <= 1000 + 86400
    layer.flush()
    assert client.keys(f"{prefix}*") == []


@pytest.mark.parametrize("channel", CHANNELS)
def test_for_a_full_channel_it_stays_until_there_is_room(any_layer, channel, monkeypatch):
    monkeypatch.setattr(delayed, "RETRY_SECONDS", 0.05)
    any_layer.capacity = 3
    for n in range(3):
        any_layer.send(channel, {"n": n})
    any_layer.delayed.send(channel, {"n": 3}, 0)
    assert any_layer.delayed.deliver() == 0.05
    assert any_layer.channel_statistics(channel)["messages_pending"] == 3
    assert any_layer.channel_statistics(channel)["channel_full_count"] >= 1
    numbers = {any_layer.receive([any_layer.non_local_name(channel)])[1]["n"] for _ in range(3)}
    assert numbers == {0, 1, 2}
    assert eventually(lambda: received(any_layer, channel)) == {"n": 3}
    assert any_layer.channel_statistics(channel)["messages_count"] == 4


def test_a_full_channel_does_not_hold_up_the_others(layer, monkeypatch):
    monkeypatch.setattr(delayed, "_AT_ONCE", 2)
    monkeypatch.setattr(delayed, "RETRY_SECONDS", 60)
    layer.capacity = 1
    layer.send("full", {})
    for _ in range(5):
        layer.delayed.send("full", {}, 0)
    layer.delayed.send("free", {"n": 1}, 0)
    assert eventually(lambda: received(layer, "free")) == {"n": 1}


def calls_of_scripts(client):
    return client.info("commandstats").get("cmdstat_evalsha", {"calls": 0})["calls"]


def test_many_for_a_full_channel_cost_a_try_and_a_line_for_all(layer, client, monkeypatch, caplog):
    layer.capacity = 1
    layer.send("full", {})
    for number in range(300):
        layer.delayed.send("full", {"n": number}, 0)
    layer.channel_statistics("full")
    monkeypatch.setattr(delayed, "RETRY_SECONDS", 0)
    with caplog.at_level(logging.INFO, "asgi_redis"):
        for _ in range(10):
            assert layer.delayed.deliver() == 0
        before, refused = calls_of_scripts(client), layer.channel_statistics("full")["channel_full_count"]
        for _ in range(10):
            assert layer.delayed.deliver() == 0
    assert caplog.messages == ["Delayed messages wait for room: channel 'full' is full"]
    assert layer.channel_statistics("full")["channel_full_count"] - refused == 10
    assert calls_of_scripts(client) - before <= 3 * 10 + 2


def test_those_that_wait_for_room_come_in_their_order_before_later_ones(layer, client, prefix, monkeypatch):
    monkeypatch.setattr(delayed, "RETRY_SECONDS", 0)
    layer.capacity = 2
    for number in range(2):
        layer.send("full", {"n": number})
    for number in range(2, 7):
        layer.delayed.send("full", {"n": number}, 0)
    layer.delayed.deliver()
    layer.delayed.send("full", {"n": 7}, 0)
    received = []
    while len(received) < 8:
        received += [message["n"] for _, message in layer.receive_batch(["full"], 1)]
        layer.delayed.deliver()
    assert received == list(range(8))
    assert eventually(lambda: layer.delayed.deliver() is None)
    assert client.keys(f"{prefix}:*") == []


def test_those_that_wait_have_a_ttl_of_a_day(layer, client, prefix):
    layer.capacity = 1
    layer.send("full", {})
    layer.delayed.send("full", {}, 0)
    layer.delayed.deliver()
    keys = client.keys(f"{prefix}:*")
    assert sorted(keys) == [f"{prefix}:waiting".encode(), f"{prefix}:waiting:full".encode()]
    assert all(86400 - 60 < client.ttl(key) <= 86400 for key in keys)
    layer.flush()
    assert client.keys(f"{prefix}*") == []


def test_one_that_cannot_be_read_any_more_does_not_hold_up_those_behind_it(layer, client, prefix, monkeypatch):
    monkeypatch.setattr(delayed, "RETRY_SECONDS", 0)
    layer.capacity = 1
    layer.send("full", {})
    layer.delayed.send("full", {"n": 1}, 0)
    layer.delayed.deliver()
    client.zadd(f"{prefix}:waiting:full", {b"garbage": 1})
    layer.receive(["full"])
    assert eventually(lambda: received(layer, "full")) == {"n": 1}
    assert layer.delayed.undecodable_count == 1


def test_it_takes_the_place_of_expired_ones_which_are_counted(layer, client, prefix):
    layer.capacity = 2
    client.zadd(f"{prefix}c", {b"expired": 1, b"too": 2})
    layer.delayed.send("c", {"n": 1}, 0)
    assert received(layer, "c") == {"n": 1}
    assert layer.channel_statistics("c")["messages_expired"] == 2


def test_large_ones_are_looked_at_a_few_at_a_time(layer, client, prefix):
    for number in range(8):
        layer.delayed.send("large", {"n": number, "data": b"x" * 500_000}, 0)
    due = layer._shards[0].execute(layer.delayed._operations[0].due(100, 1.0))
    assert (len(due.messages), due.wait) == (3, 0)
    while layer.delayed.deliver() is not None:
        pass
    assert client.zcard(f"{prefix}large") == 8


def test_a_channel_with_less_capacity_than_shards_gets_its_message(sharded):
    sharded.capacity = 1
    for n in range(8):
        sharded.delayed.send("c", {"n": n}, 0)
        assert received(sharded, "c") == {"n": n}


def test_many_who_deliver_at_a_time_deliver_once(layer_for, redis_server):
    layer = layer_for(redis_server, capacity=1000)
    for n in range(200):
        layer.delayed.send("c", {"n": n}, 0)

    def deliver():
        while layer.delayed.deliver() is not None:
            pass

    threads = [threading.Thread(target=deliver) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    numbers = [message["n"] for _, message in layer.receive_batch(["c"], 1000)]
    assert sorted(numbers) == list(range(200))


DELIVER = """
import sys
from asgi_redis import RedisChannelLayer
layer = RedisChannelLayer(hosts=[sys.argv[1]], prefix=sys.argv[2], capacity=10000)
print("ready", flush=True)
while layer.delayed.deliver() is not None:
    print("delivering", flush=True)
"""


def test_a_kill_while_delivering_neither_loses_nor_doubles(layer_for, redis_server, prefix):
    layer = layer_for(redis_server, capacity=10000)
    for n in range(1000):
        layer.delayed.send("c", {"n": n}, 0)
    for _ in range(3):
        process = subprocess.Popen(
            [sys.executable, "-c", DELIVER, redis_server.url, prefix], stdout=subprocess.PIPE, text=True
        )
        with process:
            assert process.stdout.readline() == "ready\n"
            process.stdout.readline()
            os.kill(process.pid, signal.SIGKILL)
    assert layer.channel_statistics("c")["messages_pending"] < 1000
    while layer.delayed.deliver() is not None:
        pass
    numbers = [message["n"] for _, message in layer.receive_batch(["c"], 2000)]
    assert sorted(numbers) == list(range(1000))


def test_what_cannot_be_read_is_dropped_counted_and_logged(layer, client, prefix, caplog):
    client.zadd(f"{prefix}:delayed", {b"x" * 12 + b"\xc1": 1, layer.serialize({"a": "secret"}): 1})
    layer.delayed.send("c", {"n": 1}, 0)
    assert received(layer, "c") == {"n": 1}
    assert layer.delayed.undecodable_count == 2
    assert "delayed message" in caplog.text
    assert "secret" not in caplog.text
    assert not client.exists(f"{prefix}:delayed")


@pytest.mark.parametrize("seconds", [-1, float("nan"), float("inf"), "1", None, True, 1e16, MAX_EXPIRY_SECONDS + 1])
def test_a_delay_is_a_number_of_seconds(layer, seconds, client, prefix):
    with pytest.raises(ValueError, match="seconds from 0 to 3153600000"):
        layer.delayed.send("c", {}, seconds)
    assert client.keys(f"{prefix}*") == []


def test_the_longest_delay_is_a_hundred_years(layer, client, prefix):
    layer.delayed.send("c", {}, MAX_EXPIRY_SECONDS)
    layer.delayed.send("c", {}, 1)
    assert client.ttl(f"{prefix}:delayed") > MAX_EXPIRY_SECONDS


def test_what_cannot_be_sent_cannot_be_delayed(layer_for, redis_server, client, prefix):
    layer = layer_for(redis_server, max_message_bytes=100)
    with pytest.raises(TypeError, match="channel name"):
        layer.delayed.send("not valid", {}, 1)
    with pytest.raises(TypeError, match="message"):
        layer.delayed.send("c", {"a": {1}}, 1)
    with pytest.raises(ValueError, match="__asgi_channel__"):
        layer.delayed.send("c", {"__asgi_channel__": "d"}, 1)
    for channel, size in (("c", 200), ("own!c", 80)):  # in the queue of the second its name is added
        with pytest.raises(MessageTooLarge):
            layer.delayed.send(channel, {"a": "x" * size}, 1)
    assert not client.exists(f"{prefix}:delayed")


def test_one_that_this_process_may_not_send_is_dropped(layer, layer_for, redis_server, caplog):
    layer.delayed.send("c", {"a": "x" * 200}, 0)
    layer.delayed.send("c", {"n": 1}, 0)
    small = layer_for(redis_server, max_message_bytes=100)
    assert received(small, "c") == {"n": 1}
    assert small.delayed.undecodable_count == 1
    assert "max_message_bytes" in caplog.text
