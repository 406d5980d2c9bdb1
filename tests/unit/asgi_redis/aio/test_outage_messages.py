"""``on_disconnect`` and ``on_reconnect``: messages tell channels of outages."""

from __future__ import annotations

import asyncio

import pytest

from asgi_redis.exceptions import ConfigurationError
from tests.support.async_waiting import nothing_from, until, waits

pytestmark = pytest.mark.native("event loops in native threads")

HELLO = {"type": "hello"}
NOTICES = {"on_disconnect": "redis.away", "on_reconnect": "redis.back"}
QUICK = {"connection_kwargs": {"socket_connect_timeout": 1}}


def test_process_local_channels_are_received_of_an_outage_and_of_its_end(aio_for, fresh_redis_server):
    """And when it is over they are in their groups again, which Redis had lost."""
    layer = aio_for(fresh_redis_server, **NOTICES, **QUICK)

    async def run():
        waiting, busy = await layer.new_channel(), await layer.new_channel()
        for channel in (waiting, busy):
            await layer.group_add("chat", channel)
        receiving = asyncio.ensure_future(layer.receive(waiting))
        normal = asyncio.ensure_future(layer.receive("work"))
        await until(lambda: waits(layer, waiting))
        fresh_redis_server.kill()
        assert await asyncio.wait_for(receiving, 20) == {"type": "redis.away"}
        receiving = asyncio.ensure_future(layer.receive(waiting))  # which is no error now
        await asyncio.sleep(0.1)
        assert not receiving.done()
        fresh_redis_server.start()
        assert await asyncio.wait_for(receiving, 20) == {"type": "redis.back"}
        assert await layer.group_send("chat", HELLO) == 0
        assert await asyncio.wait_for(layer.receive(waiting), 20) == HELLO
        received = [await asyncio.wait_for(layer.receive(busy), 20) for _ in range(3)]
        assert received == [{"type": "redis.away"}, {"type": "redis.back"}, HELLO]
        await layer.send("work", HELLO)
        assert await asyncio.wait_for(normal, 20) == HELLO

    asyncio.run(run())


def test_without_these_options_there_is_no_message(aio_for, fresh_redis_server):
    layer = aio_for(fresh_redis_server, **QUICK)

    async def run():
        channel = await layer.new_channel()
        receiving = asyncio.ensure_future(layer.receive(channel))
        await until(lambda: waits(layer, channel))
        fresh_redis_server.kill()
        await until(layer._mailboxes.receiver.is_down)
        fresh_redis_server.start()
        await until(lambda: not layer._mailboxes.receiver.is_down())
        assert not receiving.done()
        receiving.cancel()
        await asyncio.wait([receiving])
        assert await nothing_from(layer, channel)

    asyncio.run(run())


@pytest.mark.parametrize("setting", ["on_disconnect", "on_reconnect"])
def test_they_are_types_of_messages(aio_for, redis_server, setting):
    assert getattr(aio_for(redis_server, **{setting: "a.b"}), setting) == "a.b"
    with pytest.raises(ConfigurationError, match=f"{setting} must be the type of a message"):
        aio_for(redis_server, **{setting: {"type": "a.b"}})
