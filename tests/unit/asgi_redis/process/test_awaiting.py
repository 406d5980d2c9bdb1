"""A synchronous call that is awaited by mistake has done nothing when it is told."""

from __future__ import annotations

import _thread
import asyncio
import contextlib
import warnings

import pytest
from asgiref.sync import async_to_sync, sync_to_async

from asgi_redis import InMemoryChannelLayer, RedisLocalChannelLayer, RedisPubSubChannelLayer
from asgi_redis.exceptions import NotAwaitable
from asgi_redis.process.awaiting import refuse_await
from workers import Channel, Group

pytestmark = pytest.mark.native("event loops in native threads")

HELLO = {"type": "hello"}


@pytest.fixture(params=["redis", "local", "pub/sub", "memory"])
def layer(request, redis_server, layer_for, prefix):
    hosts = {"hosts": [redis_server.url], "prefix": prefix}
    with contextlib.ExitStack() as stack:
        if request.param == "redis":
            yield layer_for(redis_server)
        elif request.param == "local":
            yield stack.enter_context(RedisLocalChannelLayer(**hosts, local_layer=InMemoryChannelLayer()))
        elif request.param == "pub/sub":
            yield stack.enter_context(RedisPubSubChannelLayer(**hosts))
        else:
            yield stack.enter_context(InMemoryChannelLayer())


def test_nothing_is_sent_joined_or_received(layer):
    channel = layer.new_channel("reply?" if not isinstance(layer, RedisPubSubChannelLayer) else "reply")
    layer.group_add("chat", channel)
    calls = {
        "send": lambda: (layer.send, channel, HELLO),
        "send_group": lambda: (layer.send_group, "chat", HELLO),
        "group_add": lambda: (layer.group_add, "other", channel),
        "group_discard": lambda: (layer.group_discard, "chat", channel),
        "receive": lambda: (layer.receive, [channel]),
        "receive_batch": lambda: (layer.receive_batch, [channel], 1),
        "flush": lambda: (layer.flush,),
    }

    async def awaits(call, *arguments):
        return await call(*arguments)

    for name, call in calls.items():
        with pytest.raises(NotAwaitable, match=rf"^{name}\(\) is synchronous and was awaited; it has done nothing"):
            asyncio.run(awaits(*call()))
    assert layer.receive([channel]) == (None, None)
    assert layer.group_channels("chat") == [channel]
    assert layer.group_channels("other") == []
    layer.send(channel, HELLO)
    with pytest.raises(TypeError):
        asyncio.run(awaits(layer.receive, [channel]))
    assert layer.receive([channel], block=True) == (channel, HELLO)


def test_async_to_sync_is_told_too(layer_for, redis_server):
    layer = layer_for(redis_server)
    layer.group_add("chat", "work")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # asgiref's own, of what is not marked as asynchronous
        with pytest.raises(NotAwaitable):
            async_to_sync(layer.group_send)("chat", HELLO)
    assert layer.receive(["work"]) == (None, None)


def test_channels_and_groups_are_told_too(layer_for, redis_server):
    layer = layer_for(redis_server)
    channel, group = Channel("work", channel_layer=layer), Group("chat", channel_layer=layer)

    async def run():
        with pytest.raises(NotAwaitable):
            await channel.send(HELLO)
        with pytest.raises(NotAwaitable):
            await group.add("work")
        group.add("work")
        with pytest.raises(NotAwaitable):
            await group.send(HELLO)
        with pytest.raises(NotAwaitable):
            await group.discard("work")

    asyncio.run(run())
    assert layer.receive(["work"]) == (None, None)
    assert layer.group_channels("chat") == ["work"]


def test_delayed_messages_too(layer_for, redis_server):
    layer = layer_for(redis_server)

    async def run():
        await layer.delayed.send("work", HELLO, 0.001)

    with pytest.raises(NotAwaitable):
        asyncio.run(run())
    assert layer.delayed.deliver() is None


def test_a_call_that_is_not_awaited_is_no_mistake(layer_for, redis_server):
    """In a coroutine, in what a coroutine calls, in a thread that it awaits."""
    layer = layer_for(redis_server)
    received = []

    async def run():
        layer.send("work", {"n": 1})
        (lambda: layer.send("work", {"n": 2}))()
        await sync_to_async(layer.send)("work", {"n": 3})
        await asyncio.get_running_loop().run_in_executor(None, layer.send, "work", {"n": 4})
        received.append(layer.receive(["work"]))
        received.append(await sync_to_async(layer.receive)(["work"]))
        for _ in range(2):
            received.append((await asyncio.sleep(0, layer)).receive(["work"]))
        return layer.receive(["work"])

    assert asyncio.run(run()) == (None, None)
    assert received == [("work", {"n": number}) for number in (1, 2, 3, 4)]


def test_the_first_function_of_a_thread_is_no_mistake(layer_for, redis_server, eventually):
    layer = layer_for(redis_server)
    _thread.start_new_thread(layer.send, ("work", HELLO))
    assert eventually(lambda: layer.receive(["work"]) == ("work", HELLO))


def test_a_call_is_seen_after_it_was_made_so_often_that_python_has_optimised_it():
    def call():
        refuse_await()

    async def run():
        told = 0
        for _ in range(300):
            call()
            try:
                await call()
            except NotAwaitable:
                told += 1
        return told

    assert asyncio.run(run()) == 300
