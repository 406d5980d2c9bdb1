"""Encrypted messages whose sender's clock is wrong: the age of a message is that of its entry in the queue."""

from __future__ import annotations

import asyncio
import time

import pytest

from asgi_redis import InMemoryChannelLayer, RedisPubSubChannelLayer
from asgi_redis.exceptions import UndecodableMessage
from tests.support.reading import each_way_to_read

DAY = 86400


@pytest.fixture
def sender_off_by(monkeypatch):
    """``sender_off_by(seconds, send)`` calls ``send`` with a wrong clock."""

    def call(seconds, send):
        right = time.time
        with monkeypatch.context() as patch:
            patch.setattr(time, "time", lambda: right() + seconds)
            send()

    return call


OFF_BY = [61, DAY, -11, -71, -DAY]


@pytest.mark.parametrize("off_by", OFF_BY)
@pytest.mark.parametrize("channel", ["work", "specific.x!y"])
@each_way_to_read
def test_it_is_received(layer_for, redis_server, sender_off_by, off_by, channel, read):
    layer = layer_for(redis_server, symmetric_encryption_keys=["key"], expiry=60)
    sender_off_by(off_by, lambda: layer.send(channel, {"n": 1}))
    name = channel.partition("y")[0] if "!" in channel else channel
    assert read(layer, [name]) == (channel, {"n": 1})


@pytest.mark.parametrize("off_by", OFF_BY)
def test_so_is_a_groups(layer_for, redis_server, sender_off_by, off_by):
    layer = layer_for(redis_server, symmetric_encryption_keys=["new", "old"])
    old = layer_for(redis_server, symmetric_encryption_keys=["old"])
    for name in "xy":
        layer.group_add("group", f"specific.x!{name}")
    sender_off_by(off_by, lambda: old.send_group("group", {"n": 1}))
    received = [layer.receive(["specific.x!"]) for _ in range(2)]
    assert sorted(received) == [("specific.x!x", {"n": 1}), ("specific.x!y", {"n": 1})]


@pytest.mark.parametrize("off_by", OFF_BY)
def test_so_are_those_of_the_other_layers(layer_for, redis_server, sender_off_by, off_by, prefix):
    memory = InMemoryChannelLayer(symmetric_encryption_keys=["key"])
    sender_off_by(off_by, lambda: memory.send("work", {"n": 1}))
    assert memory.receive(["work"]) == ("work", {"n": 1})
    settings = {"hosts": [redis_server.url], "prefix": prefix, "symmetric_encryption_keys": ["key"]}
    with RedisPubSubChannelLayer(**settings) as pubsub:
        channel = pubsub.new_channel()
        sender_off_by(off_by, lambda: pubsub.send(channel, {"n": 1}))
        assert pubsub.receive([channel], block=True) == (channel, {"n": 1})
    delaying = layer_for(redis_server, symmetric_encryption_keys=["key"])
    sender_off_by(off_by, lambda: delaying.delayed.send("work", {"n": 1}, 0))
    delaying.delayed.deliver()
    assert delaying.receive(["work"]) == ("work", {"n": 1})


def test_what_is_too_old_by_redis_is_not_received(layer_for, redis_server, sender_off_by):
    layer = layer_for(redis_server, symmetric_encryption_keys=["key"], expiry=0.2)
    sender_off_by(DAY, lambda: layer.send("work", {"n": 1}))
    time.sleep(0.3)
    assert layer.receive(["work"]) == (None, None)
    assert layer.undecodable_count == 0


def test_deserialize_goes_by_the_clocks(layer_for, redis_server, sender_off_by):
    layer = layer_for(redis_server, symmetric_encryption_keys=["key"])
    members = []
    for off_by in (0, 61, -71):
        sender_off_by(off_by, lambda: members.append(layer.serialize({"n": 1})))
    assert layer.deserialize(members[0]) == {"n": 1}
    for member in members[1:]:
        with pytest.raises(UndecodableMessage):
            layer.deserialize(member)


def test_stock_reads_what_is_sent_and_is_read(layer_for, redis_server, prefix):
    core = pytest.importorskip("channels_redis.core")
    layer = layer_for(redis_server, symmetric_encryption_keys=["key"])

    async def main():
        stock = core.RedisChannelLayer([redis_server.url], prefix=prefix, symmetric_encryption_keys=["key"])
        await stock.send("work", {"n": 1})
        layer.send("back", {"n": 2})
        try:
            return await stock.receive("back")
        finally:
            await stock.close_pools()

    assert asyncio.run(main()) == {"n": 2}
    assert layer.receive(["work"]) == ("work", {"n": 1})
