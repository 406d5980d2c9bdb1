"""The page of the differences from channels_redis: readers, and what breaks while they wait."""

from __future__ import annotations

import asyncio
import threading
import time
from typing import Any

import pytest
import redis
from channels_redis import core

from asgi_redis import aio
from asgi_redis.exceptions import LayerClosed
from tests.support.async_waiting import until
from tests.support.both_layers import NOTHING, Both, outcome

pytestmark = [pytest.mark.timeout(60), pytest.mark.native("event loops in native threads")]


@pytest.fixture
def both_alone(fresh_redis_server):
    return Both([fresh_redis_server.url], core.RedisChannelLayer, aio.RedisChannelLayer)


def patience(layer, stock, ours=30):
    """The seconds for something that comes, or does not, with channels_redis and here."""
    return stock if isinstance(layer, core.RedisChannelLayer) else ours


def waits(client):
    """Whether a reader waits in Redis."""
    return any(line["cmd"] == "bzpopmin" and "b" in line["flags"] for line in client.client_list())


@pytest.mark.difference("clock")
def test_a_message_of_a_machine_whose_clock_is_an_hour_slow(both, monkeypatch):
    async def scenario(layer):
        right = time.time
        with monkeypatch.context() as patch:
            patch.setattr(time, "time", lambda: right() - 3600)
            await layer.send("work", {"number": 1})
        await layer.send("work", {"number": 2})
        return await outcome(layer.receive("work"), 5)

    assert both(scenario) == ({"number": 2}, {"number": 1})


@pytest.mark.difference(
    "several processes that read one normal channel",
    "a process that dies between taking a message and handing it out",
    "the copy ``{prefix}{channel}$inflight`` of what a reader has in hand",
)
def test_a_message_that_another_reader_has_taken(both):
    async def scenario(layer):
        await layer.send("work", {"number": 1})
        key = f"{layer.prefix}work"
        is_stock = isinstance(layer, core.RedisChannelLayer)
        # The first half of channels_redis' receive: it has the message, and has not handed it out.
        assert await (layer._brpop_with_clean(0, key, 1) if is_stock else layer.receive("work"))
        copies = both.client.exists(f"{key}$inflight")
        return copies, await outcome(layer.receive("work"))

    assert both(scenario) == ((1, {"number": 1}), (0, NOTHING))


@pytest.mark.difference("an outage of Redis while ``receive`` waits")
def test_an_outage_while_a_receive_waits(both_alone, fresh_redis_server):
    async def scenario(layer):
        waiting = asyncio.ensure_future(outcome(layer.receive("work"), 30))
        await until(lambda: waits(both_alone.client))
        fresh_redis_server.kill()
        if isinstance(layer, core.RedisChannelLayer):
            await waiting
        fresh_redis_server.start()
        while not waiting.done():
            await outcome(layer.send("work", {"number": 1}), 5)
            await asyncio.wait([waiting], timeout=0.05)
        return await waiting

    assert both_alone(scenario) == (redis.ConnectionError, {"number": 1})


@pytest.mark.difference("closing the pools while ``receive`` waits")
def test_closing_while_a_receive_waits(both):
    async def scenario(layer):
        waiting = asyncio.ensure_future(outcome(layer.receive("work"), 10))
        await until(lambda: waits(both.client))
        await layer.close_pools()
        return await waiting

    assert both(scenario) == (redis.ConnectionError, LayerClosed)


@pytest.mark.difference("several event loops that receive from process-local channels at once")
def test_several_event_loops(both):
    async def scenario(layer):
        own = [await layer.new_channel() for _ in range(2)]
        outcomes: list[Any] = [None, None]

        def receive(number):
            outcomes[number] = asyncio.run(outcome(layer.receive(own[number]), 1))

        threads = [threading.Thread(target=receive, args=(number,)) for number in range(2)]
        for thread in threads:
            thread.start()
        for name in own:
            await layer.send(name, {"to": name})
        await until(lambda: not any(thread.is_alive() for thread in threads))
        return RuntimeError in outcomes, outcomes == [{"to": name} for name in own]

    assert both(scenario) == ((True, False), (False, True))


@pytest.mark.difference("no message for five seconds, with redis-py 8")
@pytest.mark.skipif(int(redis.__version__.split(".")[0]) < 8, reason="redis-py before 8 has no timeout by default")
def test_no_message_for_five_seconds(both):
    def scenario(layer):
        return outcome(layer.receive("work"), patience(layer, 30, 6))

    assert both(scenario) == (redis.TimeoutError, NOTHING)


@pytest.mark.difference("a normal channel on several hosts")
def test_a_reader_of_several_hosts(both_on_three):
    async def scenario(layer):
        await layer.send("other", {})  # to the first host, where the reader looks first
        waiting = asyncio.ensure_future(outcome(layer.receive("work"), patience(layer, 2)))
        await until(lambda: waits(both_on_three.client))
        await layer.send("work", {})
        return await waiting

    assert both_on_three(scenario) == (NOTHING, {})


@pytest.mark.difference("a Redis that loses its data")
def test_a_group_after_all_data_were_lost(both_alone):
    async def scenario(layer):
        own = await layer.new_channel()
        waiting = asyncio.ensure_future(outcome(layer.receive(own), patience(layer, 2)))
        await layer.group_add("chat", own)
        await until(lambda: waits(both_alone.client))
        both_alone.client.flushdb()
        while not waiting.done():
            await layer.group_send("chat", {"number": 1})
            await asyncio.wait([waiting], timeout=0.05)
        return await waiting

    assert both_alone(scenario) == (NOTHING, {"number": 1})


@pytest.mark.difference("connections")
def test_the_connections_of_several_event_loops(both_alone):
    def connections(layer):
        before = len(both_alone.client.client_list())
        loops = [asyncio.new_event_loop() for _ in range(5)]
        for loop in loops:
            loop.run_until_complete(layer.send("work", {}))
        number = len(both_alone.client.client_list()) - before
        for loop in loops:
            loop.close()  # channels_redis closes the pool of the loop then
        return number

    assert connections(core.RedisChannelLayer(hosts=both_alone.urls)) == 5
    ours = aio.RedisChannelLayer(hosts=both_alone.urls)
    assert connections(ours) < 3
    asyncio.run(ours.close_pools())


@pytest.mark.difference("round trips of ``send``")
def test_the_round_trips_of_a_send(both, proxy):
    async def scenario(layer):
        await layer.send("work", {})  # connects, and loads the script
        proxy.reset_counters()
        await layer.send("work", {})
        return proxy.round_trips

    both.urls = [proxy.url]
    assert both(scenario) == (4, 1)
