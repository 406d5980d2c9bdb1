"""``AsyncChannelLayer`` around each of the synchronous layers."""

from __future__ import annotations

import asyncio
import random
import threading

import pytest

from asgi_redis import (
    InMemoryChannelLayer,
    IPCChannelLayer,
    RedisChannelLayer,
    RedisClusterChannelLayer,
    RedisLocalChannelLayer,
    RedisSentinelChannelLayer,
    aio,
)
from asgi_redis.aio import AsyncChannelLayer, ChannelFull
from asgi_redis.exceptions import ConfigurationError
from tests.support.async_waiting import nothing_from, until, waits
from tests.support.threads import in_threads

pytestmark = pytest.mark.native("event loops in native threads")

HELLO = {"type": "hello", "nested": {"list": [1, 2]}}
CAPACITY = 3000


def make_memory(request, **settings):
    return InMemoryChannelLayer(**settings)


def make_ipc(request, **settings):
    pytest.importorskip("lmdb")
    return IPCChannelLayer(path=str(request.getfixturevalue("tmp_path")), **settings)


def make_redis(request, **settings):
    url = request.getfixturevalue("redis_server").url
    return RedisChannelLayer(hosts=[url], prefix=request.getfixturevalue("prefix"), **settings)


def make_local(request, **settings):
    url = request.getfixturevalue("redis_server").url
    local = InMemoryChannelLayer(**settings)
    prefix = request.getfixturevalue("prefix")
    return RedisLocalChannelLayer(hosts=[url], prefix=prefix, local_layer=local, **settings)


def make_sentinel(request, **settings):
    sentinel = request.getfixturevalue("sentinel")
    prefix = request.getfixturevalue("prefix")
    return RedisSentinelChannelLayer(
        hosts=sentinel.sentinels, services=[sentinel.master_name], prefix=prefix, **settings
    )


def on_cluster(request, settings):
    hosts = request.getfixturevalue("single_node_cluster").hosts
    return {"hosts": hosts, "shards": 1, "prefix": request.getfixturevalue("prefix"), **settings}


def make_cluster(request, **settings):
    return RedisClusterChannelLayer(**on_cluster(request, settings))


def make_local_with_cluster(request, **settings):
    return RedisLocalChannelLayer(local_layer=InMemoryChannelLayer(**settings), **on_cluster(request, settings))


@pytest.fixture(
    params=[make_memory, make_ipc, make_redis, make_local, make_sentinel, make_cluster, make_local_with_cluster]
)
def make(request, closing):
    return lambda **settings: closing(AsyncChannelLayer(request.param(request, **settings)))


@pytest.fixture
def layer(make):
    return make(capacity=CAPACITY)


def test_the_hosts_of_the_redis_layer_may_be_masters_that_sentinels_watch(sentinel, prefix, closing):
    master = {"sentinels": sentinel.sentinels, "master_name": sentinel.master_name}
    layer = closing(aio.RedisChannelLayer([master], prefix=prefix))

    async def run():
        await layer.send("work", HELLO)
        assert await asyncio.wait_for(layer.receive("work"), 10) == HELLO

    asyncio.run(run())


@pytest.mark.parametrize("name", ["InMemoryChannelLayer", "RedisChannelLayer"])
def test_it_makes_the_layer_from_what_settings_can_hold(name):
    layer = AsyncChannelLayer(layer={"BACKEND": f"asgi_redis.{name}", "CONFIG": {"capacity": 7}})
    assert type(layer.layer).__name__ == name
    assert layer.layer.capacity == 7


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("redis://:secret@host", "layer must be a synchronous layer of asgi_redis, or a dict such as .*, not a str"),
        (None, "not a NoneType"),
        ({"CONFIG": {"symmetric_encryption_keys": ["secret"]}}, r"not a dict of \['CONFIG'\]"),
        ({"BACKEND": "asgi_redis.NoLayer"}, "cannot import the BACKEND 'asgi_redis.NoLayer' of layer"),
        ({"BACKEND": "asgi_redis.aio.RedisChannelLayer"}, "of layer must be a synchronous layer of asgi_redis"),
        ({"BACKEND": "asgi_redis.RedisChannelLayer", "CONFIG": "x"}, "CONFIG of layer must be a dict.*not a str"),
    ],
)
def test_what_is_no_layer_is_refused(given, said):
    with pytest.raises(ConfigurationError, match=said) as caught:
        AsyncChannelLayer(layer=given)
    assert "secret" not in str(caught.value)


def test_who_is_in_a_group_and_who_does_not_get_its_message(layer):
    async def run():
        names = sorted([await layer.new_channel() for _ in range(3)])
        assert await layer.group_count("chat") == 0
        for name in (*names, "work"):
            await layer.group_add("chat", name)
        assert await layer.group_count("chat") == 4
        assert sorted(await layer.group_channels("chat")) == sorted([*names, "work"])
        assert await layer.group_send("chat", {"n": 1}, exclude=[names[0], "work"]) == 0
        assert await layer.group_send("chat", {"n": 2}) == 0
        assert [await layer.receive(name) for name in (names[0], "work")] == [{"n": 2}] * 2
        for name in names[1:]:
            assert [await layer.receive(name) for _ in range(2)] == [{"n": 1}, {"n": 2}]
        with pytest.raises(TypeError, match="exclude=\\['work'\\]"):
            await layer.group_send("chat", {"n": 3}, exclude="work")

    asyncio.run(run())


def test_messages_and_groups(layer):
    async def run():
        await layer.send("work", HELLO)
        assert await layer.receive("work") == HELLO
        names = [await layer.new_channel() for _ in range(10)]
        for name in names:
            await layer.group_add("chat", name)
        waiting = [asyncio.ensure_future(layer.receive(name)) for name in names]
        assert await layer.group_send("chat", HELLO) == 0
        assert await asyncio.gather(*waiting) == [HELLO] * 10
        await layer.group_discard("chat", names[0])
        await layer.group_send("chat", HELLO)
        assert await layer.receive(names[1]) == HELLO
        assert await nothing_from(layer, names[0])
        await layer.flush()
        assert await nothing_from(layer, names[2])

    asyncio.run(run())


def test_who_waits_is_served_at_once_and_a_second_channel_as_well(layer):
    async def run():
        local = await layer.new_channel()
        first = asyncio.ensure_future(layer.receive("first"))
        await until(lambda: waits(layer, "first"))
        second = asyncio.ensure_future(layer.receive(local))
        await layer.send(local, {"number": 2})
        assert await asyncio.wait_for(second, 4) == {"number": 2}
        await layer.send("first", {"number": 1})
        assert await asyncio.wait_for(first, 4) == {"number": 1}

    asyncio.run(run())


def test_a_full_channel_and_bad_input(make):
    layer = make(capacity=1)

    async def run():
        await layer.send("work", HELLO)
        with pytest.raises(ChannelFull):
            await layer.send("work", HELLO)
        with pytest.raises(TypeError):
            await layer.send("not valid", HELLO)
        with pytest.raises(TypeError):
            await layer.send("work", {"a": {1}})
        with pytest.raises(TypeError):
            await layer.receive("not valid")

    asyncio.run(run())


def test_receivers_that_give_up_all_the_time_lose_nothing(layer):
    number_of_messages = 800

    async def run():
        received = []
        chance = random.Random(3)

        async def take():
            message = await layer.receive("work")
            received.append(message["number"])

        async def receive_and_give_up():
            while len(received) < number_of_messages:
                task = asyncio.ensure_future(take())
                await asyncio.sleep(chance.random() / 2000 if chance.random() < 0.3 else 0)
                task.cancel()
                await asyncio.wait([task])

        async def send():
            for number in range(number_of_messages):
                await layer.send("work", {"number": number})

        await asyncio.wait_for(asyncio.gather(send(), *(receive_and_give_up() for _ in range(5))), 30)
        return received

    assert sorted(asyncio.run(run())) == list(range(number_of_messages))


def test_loops_come_and_go_in_several_threads(layer):
    async def use(name):
        for number in range(5):
            await layer.send(name, {"number": number})
            assert await asyncio.wait_for(layer.receive(name), 10) == {"number": number}

    in_threads(lambda name: [asyncio.run(use(name)) for _ in range(10)], ["a", "b", "c"])
    assert not layer._mailboxes.receiver.by_queue


def test_close_ends_its_threads_and_it_can_be_used_again(layer):
    async def use():
        await layer.send("work", HELLO)
        assert await layer.receive("work") == HELLO
        mine = [thread for thread in threading.enumerate() if type(layer.layer).__name__ in thread.name]
        assert mine
        await layer.close()
        assert not any(thread.is_alive() for thread in mine)

    asyncio.run(use())
    asyncio.run(use())
