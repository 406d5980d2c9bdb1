"""The page of the differences from channels_redis, over pub/sub: its rows, with both packages on one Redis."""

from __future__ import annotations

import asyncio
import threading

import msgpack
import pytest
import redis
from channels_redis import pubsub

from asgi_redis import aio
from asgi_redis.exceptions import InvalidMessage, InvalidName, NotOfThisProcess, ReservedKey, UnknownSetting
from tests.support.async_waiting import until
from tests.support.both_layers import NOTHING, Both, outcome

pytestmark = [pytest.mark.timeout(60), pytest.mark.native("event loops in native threads")]


@pytest.fixture
def both_pubsub(redis_server):
    return Both([redis_server.url], pubsub.RedisPubSubChannelLayer, aio.RedisPubSubChannelLayer)


@pytest.mark.difference("an unknown setting, also ``random_prefix_length``")
def test_pubsub_settings(both_pubsub):
    def send(layer):
        return outcome(layer.send("work", {}), 5)

    assert both_pubsub.errors(random_prefix_length=12) == (None, UnknownSetting)
    assert both_pubsub(send, capacity=5, expiry=3) == (None, None)


@pytest.mark.difference(
    "names",
    "a message that is no dict, or has keys that are no str",
    "``__asgi_channel__`` in a message",
)
def test_pubsub_names_and_messages(both_pubsub):
    async def scenario(layer):
        calls = [("a b", {}), ("work", "text"), ("work", {1: 2}), ("work", {"__asgi_channel__": "x"})]
        return [await outcome(layer.send(*call), 5) for call in calls]

    ours = [InvalidName, InvalidMessage, InvalidMessage, ReservedKey]
    assert both_pubsub(scenario) == ([None] * 4, ours)


@pytest.mark.difference("``capacity``, ``channel_capacity``, ``expiry``")
def test_pubsub_limits_what_waits(both_pubsub):
    async def scenario(layer):
        own, last = await layer.new_channel(), await layer.new_channel()
        for number in range(8):
            await layer.send(own, {"number": number})
        await layer.send(last, {})
        await layer.receive(last)  # so all have come
        return [(await outcome(layer.receive(own), 1)) for _ in range(9)].count(NOTHING) - 1

    stock, ours = both_pubsub(scenario, capacity=5)
    assert stock == 0
    assert ours > 0


@pytest.mark.difference("``on_disconnect``, ``on_reconnect``")
def test_pubsub_tells_of_an_outage(both_pubsub, fresh_redis_server):
    async def scenario(layer):
        own = await layer.new_channel()
        waiting = asyncio.ensure_future(outcome(layer.receive(own), 2))
        client = redis.Redis.from_url(fresh_redis_server.url)
        await until(lambda: client.pubsub_channels(own))
        client.client_kill_filter(_type="pubsub")
        return await waiting

    both_pubsub.urls = [fresh_redis_server.url]
    assert both_pubsub(scenario, on_disconnect="away", on_reconnect="back") == (NOTHING, {"type": "away"})


@pytest.mark.difference("a cancelled ``receive``")
def test_pubsub_and_a_cancelled_receive(both_pubsub):
    async def scenario(layer):
        own = await layer.new_channel()
        await outcome(layer.receive(own), 0.1)
        await layer.send(own, {"number": 1})
        return await outcome(layer.receive(own), 1)

    assert both_pubsub(scenario) == (NOTHING, {"number": 1})


@pytest.mark.difference("``group_add`` of a channel of another process")
def test_pubsub_and_channels_of_others(both_pubsub):
    foreign = both_pubsub(lambda layer: outcome(layer.group_add("chat", "desk"), 5))
    assert foreign == (RuntimeError, NotOfThisProcess)
    assert issubclass(NotOfThisProcess, RuntimeError)


@pytest.mark.difference("a channel that was made in another event loop")
def test_pubsub_across_loops(both_pubsub):
    async def scenario(layer):
        made: list[str] = []
        thread = threading.Thread(target=lambda: made.append(asyncio.run(layer.new_channel())))
        thread.start()
        await until(lambda: not thread.is_alive())
        await layer.send(made[0], {"number": 1})
        return await outcome(layer.receive(made[0]), 1)

    assert both_pubsub(scenario) == (NOTHING, {"number": 1})


@pytest.mark.difference("attributes such as ``extensions`` outside of an event loop")
def test_pubsub_attributes_outside_of_a_loop(both_pubsub):
    stock = pubsub.RedisPubSubChannelLayer(hosts=both_pubsub.urls)
    with pytest.raises(RuntimeError):
        stock.extensions  # noqa: B018  reading it is the test
    assert aio.RedisPubSubChannelLayer(hosts=both_pubsub.urls).extensions == ["groups", "flush"]


@pytest.mark.difference("a message that cannot be decoded")
def test_pubsub_and_what_cannot_be_decoded(both_pubsub):
    async def scenario(layer):
        own = await layer.new_channel()
        waiting = asyncio.ensure_future(outcome(layer.receive(own), 30))
        await until(lambda: both_pubsub.client.pubsub_channels(own))
        both_pubsub.client.publish(own, b"\xc1")
        await layer.send(own, {"number": 1})
        return await waiting

    assert both_pubsub(scenario) == (msgpack.exceptions.FormatError, {"number": 1})
