"""Stock channels_redis 4.3 and the asynchronous layer on one Redis: each reads what the other sends."""

from __future__ import annotations

import asyncio

import pytest
from channels_redis.core import RedisChannelLayer as StockLayer

pytestmark = pytest.mark.native("event loops in native threads")

MESSAGE = {"type": "chat.message", "text": "\u00a3 \U0001f612", "number": -(2**40), "nested": {"list": [1, [2]]}}

SETUPS = {
    "plain": {},
    "encrypted": {"symmetric_encryption_keys": ["a key"]},
    "json": {"serializer_format": "json"},
    "small capacity": {"capacity": 3},
}


@pytest.fixture(params=SETUPS)
def pair(request, aio_for, redis_server, prefix):
    settings = {"prefix": prefix, **SETUPS[request.param]}
    return aio_for(redis_server, **settings), StockLayer(hosts=[redis_server.url], **settings)


def run(stock, test):
    async def bounded():
        try:
            await asyncio.wait_for(test(), 20)
        finally:
            await stock.close_pools()

    asyncio.run(bounded())


@pytest.mark.parametrize("turn", [1, -1], ids=["ours to stock", "stock to ours"])
class TestBothWays:
    def test_normal_channel(self, pair, turn):
        async def test():
            sender, receiver = pair[::turn]
            await sender.send("work", MESSAGE)
            assert await receiver.receive("work") == MESSAGE

        run(pair[1], test)

    def test_process_local_channel(self, pair, turn):
        async def test():
            sender, receiver = pair[::turn]
            channel = await receiver.new_channel()
            await sender.send(channel, MESSAGE)
            assert await receiver.receive(channel) == MESSAGE

        run(pair[1], test)

    def test_group_with_members_of_both(self, pair, turn):
        async def test():
            sender, receiver = pair[::turn]
            members = [(layer, await layer.new_channel()) for layer in (sender, receiver, receiver)]
            for layer, channel in members:
                await layer.group_add("chat", channel)
            await sender.group_send("chat", MESSAGE)
            for layer, channel in members:
                assert await layer.receive(channel) == MESSAGE

        run(pair[1], test)

    def test_member_that_the_other_takes_out(self, pair, turn):
        async def test():
            one, other = pair[::turn]
            await one.group_add("chat", "here")
            await one.group_add("chat", "gone")
            await other.group_discard("chat", "gone")
            await other.group_send("chat", MESSAGE)
            assert await one.receive("here") == MESSAGE
            with pytest.raises(asyncio.TimeoutError):
                await asyncio.wait_for(other.receive("gone"), 0.1)

        run(pair[1], test)
