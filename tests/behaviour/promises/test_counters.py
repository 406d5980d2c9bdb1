"""What readers and workers find is counted: for its channel and in total, without a round trip for it."""

from __future__ import annotations

import asyncio
import threading
import time
import types

import pytest
import redis

from asgi_redis import InMemoryChannelLayer, RedisClusterChannelLayer, RedisLocalChannelLayer
from asgi_redis.aio import AsyncChannelLayer
from asgi_redis.engine import counts
from asgi_redis.process.time_limits import HANG_TIMEOUT_SECONDS
from tests.support.servers import pause, resume
from tests.support.waiting import eventually
from workers import ConsumeLater, Worker, route

GARBAGE = b"x" * 12 + b"\xc1"


@pytest.fixture
def client(redis_server):
    with redis.Redis(port=redis_server.port, protocol=2) as client:
        yield client


def add(client, prefix, channel, *members, age=0.0):
    client.zadd(f"{prefix}{channel}", {member: time.time() - age for member in members})


def numbers(layer, counter, *channels):
    """Return a counter of channels, and of all."""
    found = layer.many_channel_statistics(channels)
    return [found[channel][counter] for channel in channels] + [layer.global_statistics()[counter]]


def test_undecodable_messages_are_counted(layer_for, redis_server, client, prefix):
    layer = layer_for(redis_server)
    add(client, prefix, "a", GARBAGE, b"y" + GARBAGE)
    add(client, prefix, "p!", GARBAGE)
    assert layer.receive_batch(["a", "p!"], 10) == []
    assert numbers(layer, "messages_undecodable", "a", "p!", "b") == [2, 1, 0, 3]
    assert layer.channel_statistics("p!x")["messages_undecodable"] == 1


def test_messages_that_an_interrupted_receive_puts_back_are_counted(layer_for, redis_server, monkeypatch):
    layer = layer_for(redis_server)
    for _ in range(3):
        layer.send("a", {})

    def interrupt(payload):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(layer.decoder, "decode", interrupt)
        with pytest.raises(KeyboardInterrupt):
            layer.receive_batch(["a"], 2)
    assert numbers(layer, "messages_requeued", "a") == [2, 2]
    assert layer.channel_statistics("a")["messages_pending"] == 3


def test_messages_that_expire_in_the_process_are_counted(layer_for, redis_server, monkeypatch):
    layer, now = layer_for(redis_server), time.monotonic()
    for channel in ("p!x", "p!y", "p!z"):
        layer.group_add("group", channel)
    layer.send_group("group", {"n": 1})
    assert layer.receive(["p!"])[0]
    layer.requeue("a", {"n": 2})
    clock = types.SimpleNamespace(monotonic=lambda: now + layer.expiry + 1)
    monkeypatch.setattr("asgi_redis.engine.fanout.time", clock)
    assert layer.receive(["p!", "a"]) == (None, None)
    assert numbers(layer, "messages_expired", "p!", "a") == [2, 1, 3]
    assert numbers(layer, "messages_requeued", "p!", "a") == [0, 1, 1]


@pytest.mark.parametrize("timeout", [0.0, 1.0])
def test_a_receive_makes_no_round_trip_for_them(layer_for, proxy, client, prefix, timeout):
    layer = layer_for(proxy)
    layer.receive(["a"])  # connected, and the script is known
    layer.send("a", {"n": 1})
    add(client, prefix, "a", b"expired", age=1000)
    add(client, prefix, "a", GARBAGE, age=50)
    proxy.reset_counters()
    assert layer.receive_batch(["a"], 10, timeout) == [("a", {"n": 1})]
    assert proxy.round_trips == 1
    assert numbers(layer, "messages_expired", "a") == numbers(layer, "messages_undecodable", "a") == [1, 1]


def test_other_processes_see_them_soon_though_this_one_does_nothing_more(layer_for, redis_server, client, prefix):
    layer, other = layer_for(redis_server), layer_for(redis_server)
    add(client, prefix, "a", b"1", b"2", age=1000)
    layer.receive(["a"])
    eventually(lambda: numbers(other, "messages_expired", "a") == [2, 2])


def test_a_receive_that_waits_does_not_hold_them_back(layer_for, redis_server, client, prefix):
    layer, other = layer_for(redis_server), layer_for(redis_server)
    add(client, prefix, "a", b"1", age=1000)
    thread = threading.Thread(target=layer.receive_batch, args=(["a"], 1, 30))
    thread.start()
    eventually(lambda: numbers(other, "messages_expired", "a") == [1, 1])
    layer.unblock()
    thread.join(10)


def test_those_that_a_server_could_not_take_are_written_soon_after_the_next_receive(
    layer_for, redis_server, monkeypatch
):
    monkeypatch.setattr(counts, "WRITE_SECONDS", 0.05)
    layer, other, refused = layer_for(redis_server), layer_for(redis_server), []
    with monkeypatch.context() as patch:
        patch.setattr(layer._counts, "_write", lambda found: refused.append(found) or found)
        layer.count("a", "messages_retried")
        eventually(lambda: refused and layer._counts.waiting)
    assert numbers(other, "messages_retried", "a") == [0, 0]
    layer.receive(["b"])
    eventually(lambda: numbers(other, "messages_retried", "a") == [1, 1])


def test_close_writes_them(layer_for, redis_server, client, prefix, monkeypatch):
    monkeypatch.setattr(counts, "WRITE_SECONDS", 1000.0)
    layer, other = layer_for(redis_server), layer_for(redis_server)
    add(client, prefix, "a", b"1", age=1000)
    layer.receive(["a"])
    assert numbers(other, "messages_expired", "a") == [0, 0]
    layer.close()
    assert numbers(other, "messages_expired", "a") == [1, 1]


def test_flush_forgets_those_that_are_not_written_yet(layer_for, redis_server, client, prefix):
    layer = layer_for(redis_server)
    add(client, prefix, "a", b"1", age=1000)
    layer.receive(["a"])
    layer.flush()
    assert numbers(layer, "messages_expired", "a") == [0, 0]


def test_they_have_a_ttl(layer_for, redis_server, client, prefix):
    layer = layer_for(redis_server)
    layer.count("a", "messages_retried", 5)
    layer.flush_counts()
    assert 3500 < client.ttl(f"{prefix}-meta:a") <= 3600
    assert 86000 < client.ttl(f"{prefix}-meta:#global#") <= 86400


def test_counters_of_another_type_cost_no_other_count(layer_for, redis_server, client, prefix):
    layer = layer_for(redis_server)
    client.set(f"{prefix}-meta:a", "a string", ex=60)
    layer.count("a", "messages_retried")
    layer.count("b", "messages_retried")
    assert numbers(layer, "messages_retried", "b") == [1, 2]


def test_they_come_together_from_all_shards(layer_for, three_redis_servers):
    layer = layer_for(*three_redis_servers)
    channels = ["a", "b", "c", "p!", "q!", "r?x"]
    for number, channel in enumerate(channels):
        layer.count(channel, "messages_retried", number + 1)
    assert numbers(layer, "messages_retried", *channels) == [1, 2, 3, 4, 5, 6, 21]


def test_they_wait_for_a_server_that_is_away(layer_for, fresh_redis_server):
    layer = layer_for(fresh_redis_server)
    layer.count("a", "messages_retried")
    fresh_redis_server.kill()
    began = time.monotonic()
    layer.flush_counts()
    layer.count("a", "messages_retried")
    layer.close()
    assert time.monotonic() - began < 10
    fresh_redis_server.start()
    assert numbers(layer, "messages_retried", "a") == [2, 2]


def test_a_server_that_hangs_holds_up_no_receive_from_another(layer_for, three_fresh_redis_servers, prefix):
    first, second, _ = three_fresh_redis_servers
    layer = layer_for(first, second)
    # Names by the shard of their counters, and of their messages.
    hanging, working = (
        next(f"c{n}!" for n in range(99) if layer.consistent_hash(f"c{n}!") == shard) for shard in (0, 1)
    )
    layer.receive([working])
    layer.count(hanging, "messages_retried")
    layer.flush_counts()
    pause(first)
    try:
        moments = [time.monotonic()]
        for _ in range(20):
            layer.count(hanging, "messages_retried")
            layer.receive([working])
            moments.append(time.monotonic())
        assert max(after - before for before, after in zip(moments, moments[1:])) < HANG_TIMEOUT_SECONDS
        layer.flush_counts()
        assert time.monotonic() - moments[-1] < 10
    finally:
        resume(first)
    # It may have counted when it went on, so they are not written again.
    assert numbers(layer, "messages_retried", hanging)[0] <= 21


def test_a_normal_channel_is_counted_on_its_side(redis_server, prefix, monkeypatch):
    local, counted = InMemoryChannelLayer(), []
    monkeypatch.setattr(local, "count", lambda *count: counted.append(count))
    with RedisLocalChannelLayer(hosts=[redis_server.url], prefix=prefix, local_layer=local) as layer:
        layer.count("p!", "messages_retried", 2)
        layer.count("normal", "messages_retried")
        assert layer.channel_statistics("p!")["messages_retried"] == 2
        assert counted == [("normal", "messages_retried", 1)]


def test_a_cluster_has_them_in_the_slots_of_its_shards(single_node_cluster, prefix):
    with RedisClusterChannelLayer(hosts=single_node_cluster.hosts, shards=3, prefix=prefix) as layer:
        for channel in ("a", "p!", "q!"):
            layer.count(channel, "messages_retried")
        assert numbers(layer, "messages_retried", "a", "p!", "q!") == [1, 1, 1, 3]


def test_an_asynchronous_layer_counts_them(layer_for, redis_server, client, prefix):
    other = layer_for(redis_server)
    add(client, prefix, "a", GARBAGE)
    add(client, prefix, "a", b"1", age=1000)
    other.send("a", {"n": 1})

    async def receive():
        layer = AsyncChannelLayer(layer_for(redis_server))
        try:
            return await layer.receive("a")
        finally:
            await layer.close()

    assert asyncio.run(receive()) == {"n": 1}
    assert numbers(other, "messages_expired", "a") == numbers(other, "messages_undecodable", "a") == [1, 1]


def test_a_worker_counts_the_messages_that_it_postpones_and_puts_back(layer_for, redis_server):
    layer, other = layer_for(redis_server), layer_for(redis_server)
    tried = []

    def later(message):
        tried.append(message["n"])
        if len(tried) < 3:
            raise ConsumeLater

    def last(message):
        message.then.append(("a", {"n": 2}))
        worker.quiet()

    worker = Worker(layer, [route("a", later), route("b", last)])
    layer.send("a", {"n": 1})
    thread = threading.Thread(target=worker.run)
    thread.start()
    eventually(lambda: len(tried) == 3)
    layer.send("b", {})
    thread.join(10)
    assert numbers(other, "messages_retried", "a", "b") == [2, 0, 2]
    assert numbers(other, "messages_requeued", "a", "b") == [1, 0, 1]
    assert other.receive(["a"]) == ("a", {"n": 2})
