"""A thousand consumers in ten groups each, while Redis loses its data again and again."""

from __future__ import annotations

import asyncio
import random
import time

import pytest
import redis
from redis.exceptions import RedisError

from tests.support.async_waiting import until

pytestmark = [pytest.mark.soak, pytest.mark.timeout(300), pytest.mark.native("event loops in native threads")]

CONSUMERS, GROUPS, EACH = 1000, 100, 10


class Consumer:
    """Receives from a channel of its own, and changes its groups."""

    def __init__(self, layer, channel):
        self.layer = layer
        self.channel = channel
        self.groups = set()
        self.received = []
        self.task = asyncio.ensure_future(self.receive())

    async def receive(self):
        while True:
            self.received.append(await self.layer.receive(self.channel))

    async def join(self, group):
        await insist(self.layer.group_add, group, self.channel)
        self.groups.add(group)

    async def leave(self, group):
        self.groups.discard(group)
        await insist(self.layer.group_discard, group, self.channel)


async def insist(call, *arguments):
    """Makes a call until it succeeds."""
    while True:
        try:
            return await call(*arguments)
        except RedisError:
            await asyncio.sleep(0.05)


def test_the_groups_are_what_the_consumers_have_made_of_them(aio_for, layer_for, fresh_redis_server):
    layer = aio_for(fresh_redis_server, group_lease=20, on_disconnect="away", on_reconnect="back")
    other = layer_for(fresh_redis_server)
    names = [f"group{number}" for number in range(GROUPS)]

    def groups_of(consumers):
        return {name: sorted(one.channel for one in consumers if name in one.groups) for name in names}

    def groups_in_redis():
        return {name: sorted(other.group_channels(name)) for name in names}

    async def churn(consumers, seconds):
        until_then = time.monotonic() + seconds
        while time.monotonic() < until_then:
            one = random.choice(consumers)
            if random.random() < 0.5:
                await one.join(random.choice(names))
            elif one.groups:
                await one.leave(random.choice(sorted(one.groups)))
            await asyncio.sleep(0.002)

    async def heal(consumers):
        began = time.monotonic()
        await until(lambda: groups_in_redis() == groups_of(consumers), timeout=30)
        return time.monotonic() - began

    async def run():
        consumers = [Consumer(layer, await layer.new_channel()) for _ in range(CONSUMERS)]
        for consumer in consumers:
            await asyncio.gather(*(consumer.join(name) for name in random.sample(names, EACH)))
        for _ in range(3):
            churning = asyncio.ensure_future(churn(consumers, 2))
            await asyncio.sleep(0.5)
            await asyncio.get_running_loop().run_in_executor(None, fresh_redis_server.kill)
            await asyncio.get_running_loop().run_in_executor(None, fresh_redis_server.start)
            await churning
            assert await heal(consumers) < 15
            churning = asyncio.ensure_future(churn(consumers, 2))
            with redis.Redis.from_url(fresh_redis_server.url) as client:
                client.flushall()
            await churning
            assert await heal(consumers) < 15
        gone, consumers = consumers[:300], consumers[300:]
        for one in gone:
            one.task.cancel()
        # Within the time of two leases and a round.
        await until(lambda: groups_in_redis() == groups_of(consumers), timeout=60)
        for one in consumers:
            one.received.clear()
        for name in names:
            await layer.group_send(name, {"type": "hello", "group": name})
        await until(lambda: all(len(one.received) == len(one.groups) for one in consumers), timeout=30)
        assert all(sorted(m["group"] for m in one.received) == sorted(one.groups) for one in consumers)
        for one in consumers:
            one.task.cancel()

    asyncio.run(run())
