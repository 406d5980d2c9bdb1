"""Sending to channels that are full, and to a Redis that is away."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import time

import pytest
import redis
from redis.exceptions import ConnectionError

from asgi_redis import ChannelFull, InMemoryChannelLayer, RedisChannelLayer
from asgi_redis.aio import AsyncChannelLayer
from asgi_redis.aio.pipelined import asynchronous
from asgi_redis.interface.gate import Gate
from asgi_redis.wire import Witness
from tests.support.async_waiting import until
from tests.support.delivery.queues import drain


class FarLayer(AsyncChannelLayer):
    """A layer whose server takes time to answer."""

    under_way = most = 0

    async def send(self, channel, message):
        self.under_way += 1
        self.most = max(self.most, self.under_way)
        await asyncio.sleep(0.005)
        try:
            await super().send(channel, message)
        finally:
            self.under_way -= 1


@pytest.fixture
def layer():
    with InMemoryChannelLayer(capacity=1) as layer:
        yield layer


def test_messages_that_wait_go_out_in_the_order_of_their_senders(layer):
    async def scenario():
        gate = Gate(AsyncChannelLayer(layer), 10, 10)
        await gate.send("c", {"n": 0})
        waiting = []
        for number in range(1, 6):
            waiting.append(asyncio.create_task(gate.send("c", {"n": number})))
            await asyncio.sleep(0)
        received = []
        while len(received) < 6:
            _, message = layer.receive(["c"])
            if message is not None:
                received.append(message["n"])
            await asyncio.sleep(0.001)
        await asyncio.gather(*waiting)
        return received

    assert asyncio.run(scenario()) == [0, 1, 2, 3, 4, 5]


@pytest.mark.parametrize("timeout", [None, 0.1])
def test_a_channel_that_stays_full_is_an_error_after_the_timeout(layer, timeout):
    async def scenario():
        gate = Gate(AsyncChannelLayer(layer), 0.1 if timeout is None else 60, 60)
        await gate.send("c", {})
        started = time.monotonic()
        results = await asyncio.gather(*(gate.send("c", {}, timeout) for _ in range(3)), return_exceptions=True)
        assert [type(result) for result in results] == [type(results[0])] * 3
        assert isinstance(results[0], ChannelFull)
        assert 0.1 <= time.monotonic() - started < 5

    asyncio.run(scenario())


def test_a_full_channel_holds_up_no_other(layer):
    async def scenario():
        gate = Gate(AsyncChannelLayer(layer), 60, 60)
        await gate.send("full", {})
        waiting = asyncio.create_task(gate.send("full", {}))
        await asyncio.sleep(0)
        await asyncio.wait_for(gate.send("other", {"n": 1}), 5)
        waiting.cancel()
        return layer.receive(["other"])

    assert asyncio.run(scenario()) == ("other", {"n": 1})


def test_one_that_is_cancelled_while_it_waits_leaves_the_line(layer):
    async def scenario():
        gate = Gate(AsyncChannelLayer(layer), 60, 60)
        await gate.send("c", {"n": 0})
        first, second = (asyncio.create_task(gate.send("c", {"n": number})) for number in (1, 2))
        await until(lambda: layer.channel_statistics("c")["channel_full_count"] > 1)
        first.cancel()
        received = []
        while {"n": 2} not in received:  # a send that was under way may have put the first there
            received.append(layer.receive(["c"])[1])
            await asyncio.sleep(0.001)
        await second

    asyncio.run(asyncio.wait_for(scenario(), 20))


def test_a_line_moves_faster_than_one_message_in_a_round_trip():
    async def scenario():
        with InMemoryChannelLayer(capacity=100) as full:
            layer = FarLayer(full)
            gate = Gate(layer, 60, 60)
            for number in range(100):
                full.send("c", {"n": number})
            waiting = [asyncio.create_task(gate.send("c", {"n": number})) for number in range(100)]
            await asyncio.sleep(0.1)
            layer.most = layer.under_way
            full.flush()
            await asyncio.wait_for(asyncio.gather(*waiting), 30)
            assert layer.most > 2
            return sorted(message["n"] for _, message in full.receive_batch(["c"], 200))

    assert asyncio.run(scenario()) == list(range(100))


def test_a_line_that_moves_is_one_again_when_the_channel_is_full_again():
    async def scenario():
        with InMemoryChannelLayer(capacity=20) as full:
            layer = FarLayer(full)
            gate = Gate(layer, 60, 60)
            for _ in range(20):
                full.send("c", {})
            waiting = [asyncio.create_task(gate.send("c", {})) for _ in range(100)]
            for _ in range(6):
                # One tries, the others wait.
                while full.channel_statistics("c")["messages_pending"] < 20 or layer.under_way > 1:
                    await asyncio.sleep(0.001)
                full.flush()
            await asyncio.wait_for(asyncio.gather(*waiting), 30)

    asyncio.run(scenario())


def test_a_message_that_redis_cannot_have_seen_is_tried_for_the_whole_timeout():
    """The limit of a repeatable send, half of this ``expiry``, is for those that it may have seen."""

    async def scenario(layer):
        gate = Gate(asynchronous(layer), 60, 60)
        with pytest.raises(redis.exceptions.ConnectionError, match="refused"):
            await gate.send("c", {}, 1.0, Witness("a", 1))

    with socket.socket() as port:
        port.bind(("127.0.0.1", 0))  # and does not listen
        with RedisChannelLayer(hosts=[port.getsockname()], expiry=1) as layer:
            asyncio.run(scenario(layer))


def through_redis(layer, scenario, full_timeout=60, outage_timeout=60):
    async def run():
        asynchronous_layer = asynchronous(layer)
        try:
            await asyncio.wait_for(scenario(Gate(asynchronous_layer, full_timeout, outage_timeout)), 20)
        finally:
            await asynchronous_layer.close()

    asyncio.run(run())


@pytest.mark.parametrize("forward", [True, False])
@pytest.mark.parametrize("witness", [None, Witness("a", 1)])
def test_after_a_lost_answer_only_what_has_a_witness_is_sent_again(layer_for, proxy, redis_server, forward, witness):
    async def scenario(gate):
        proxy.cut_on(b"EVAL", forward=forward)
        with contextlib.nullcontext() if witness else pytest.raises(ConnectionError):
            await gate.send("work", {"number": 0}, witness=witness)

    layer = layer_for(proxy.url)
    layer.send("other", {})  # Redis has the script
    through_redis(layer, scenario)
    assert drain(layer_for(redis_server.url), "work") == ([0] if witness or forward else [])


def test_what_redis_has_not_seen_waits_for_its_own_time(layer_for, fresh_redis_server):
    """Longer than at a full channel, if that is what the options say."""

    async def scenario(gate):
        sending = asyncio.create_task(gate.send("work", {"number": 0}))
        await asyncio.wait([sending], timeout=0.3)
        assert not sending.done()
        fresh_redis_server.start()
        await sending

    fresh_redis_server.kill()
    through_redis(layer_for(fresh_redis_server), scenario, full_timeout=0)
    assert drain(layer_for(fresh_redis_server), "work") == [0]


@pytest.mark.parametrize("witness", [None, Witness("a", 1)])
def test_what_redis_refuses_is_an_error_at_once(layer_for, redis_server, prefix, witness):
    with redis.Redis.from_url(redis_server.url) as client:
        client.set(f"{prefix}work", "of another program")

    async def scenario(gate):
        with pytest.raises(redis.exceptions.ResponseError):
            await gate.send("work", {}, witness=witness)

    through_redis(layer_for(redis_server.url), scenario)
