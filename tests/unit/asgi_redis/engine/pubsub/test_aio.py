"""The asynchronous layer: together with stock channels_redis, many loops, consumers, processes."""

from __future__ import annotations

import asyncio
import gc
import subprocess
import sys
import threading

import pytest
import redis

from asgi_redis.aio import RedisPubSubChannelLayer
from tests.support.pubsub.loops import HELLO, run, until, waits
from tests.support.pubsub.stock import StockLayer
from tests.support.pubsub.subscribers import NOTICES, subscribed
from tests.support.threads import in_threads
from tests.support.waiting import eventually
from tests.unit.asgi_redis.aio.test_consumers import chat, three_talk


@pytest.fixture
def layer(aio_for, redis_server):
    return aio_for(redis_server)


class TestStock:
    """One Redis, the same CONFIG."""

    @pytest.mark.parametrize(
        "config",
        [{}, {"symmetric_encryption_keys": ["key"]}, {"serializer_format": "json"}],
        ids=["plain", "encrypted", "json"],
    )
    @pytest.mark.parametrize("shards", [1, 3])
    def test_both_ways(self, aio_for, three_redis_servers, prefix, config, shards):
        servers = three_redis_servers[:shards]
        hello = {**HELLO, "bytes": "none"} if config.get("serializer_format") == "json" else HELLO

        async def main():
            ours = aio_for(*servers, **config)
            stock = StockLayer(hosts=[server.url for server in servers], prefix=prefix, **config)
            for number in range(8):
                mine, theirs = await ours.new_channel(), await stock.new_channel()
                await ours.group_add(f"chat.{number}", mine)
                await stock.group_add(f"chat.{number}", theirs)
                for sender in (ours, stock):
                    await sender.send(mine, hello)
                    assert await ours.receive(mine) == hello
                    await sender.send(theirs, hello)
                    assert await stock.receive(theirs) == hello
                    await sender.group_send(f"chat.{number}", {**hello, "n": number})
                    assert await ours.receive(mine) == {**hello, "n": number}
                    assert await stock.receive(theirs) == {**hello, "n": number}
            await stock.flush()

        run(main())

    def test_names_and_attributes_are_those(self, aio_for, redis_server, prefix):
        async def main():
            ours = aio_for(redis_server, **NOTICES)
            stock = StockLayer(hosts=[redis_server.url], prefix=prefix, **NOTICES)
            for arguments in ((), ("specific.",), ("thing.",)):
                mine, theirs = [await layer.new_channel(*arguments) for layer in (ours, stock)]
                assert mine[:-32] == theirs[:-32]
                assert len(mine) == len(theirs)
            for name in ("extensions", "prefix", "on_disconnect", "on_reconnect"):
                assert getattr(ours, name) == getattr(stock, name)
            assert ours.deserialize(stock.serialize(HELLO)) == HELLO
            with pytest.raises(RuntimeError):
                await ours.group_add("chat", "unknown")
            await stock.flush()

        run(main())


class TestLoops:
    def test_one_loop_after_the_other_uses_the_same_connections(self, aio_for, fresh_redis_server, prefix):
        layer = aio_for(fresh_redis_server)
        channel = asyncio.run(layer.new_channel())

        async def use(number):
            await layer.group_add("chat", channel)
            waiting = asyncio.ensure_future(layer.receive(channel))
            await layer.group_send("chat", {"n": number})
            assert await waiting == {"n": number}

        def connections():
            with redis.Redis.from_url(fresh_redis_server.url, protocol=2) as client:
                return {one["addr"] for one in client.client_list()} - {client.client_info()["addr"]}

        run(use(-1))
        before, threads = connections(), threading.active_count()
        for number in range(50):
            run(use(number))
        assert connections() == before
        assert threading.active_count() <= threads

    @pytest.mark.native("a thread has one running loop, and here all greenlets are of one")
    def test_loops_in_several_threads(self, layer):
        def work(number):
            async def main():
                channel = await layer.new_channel()
                await layer.group_add("all", channel)
                for turn in range(50):
                    await layer.send(channel, {"n": [number, turn]})
                    while (await layer.receive(channel)).get("n") != [number, turn]:
                        pass
                    if turn == 25:
                        await layer.group_send("all", {"all": number})

            run(main())

        in_threads(work, range(4))

    def test_a_loop_that_was_closed_under_a_receive_takes_nothing_with_it(self, layer):
        loop = asyncio.new_event_loop()
        channel = loop.run_until_complete(layer.new_channel())
        waiting = loop.create_task(layer.receive(channel))
        loop.run_until_complete(until(lambda: waits(layer, channel)))
        loop.close()

        async def main():
            await layer.send(channel, HELLO)
            assert await layer.receive(channel) == HELLO

        run(main())
        waiting._log_destroy_pending = False
        waiting.get_coro().close()

    def test_the_synchronous_layer_beside_it_knows_the_same_channels(self, layer):
        channel = layer.layer.new_channel()
        layer.layer.group_add("chat", channel)

        async def main():
            waiting = asyncio.ensure_future(layer.receive(channel))
            await until(lambda: waits(layer, channel))
            layer.layer.send_group("chat", HELLO)
            assert await waiting == HELLO

        run(main())

    def test_an_excluded_channel_waits_on(self, layer):
        async def main():
            channels = [await layer.new_channel() for _ in range(2)]
            for channel in channels:
                await layer.group_add("chat", channel)
            assert await layer.group_count("chat") == 2
            waiting = [asyncio.ensure_future(layer.receive(channel)) for channel in channels]
            await layer.group_send("chat", {"n": 1}, exclude=channels[:1])
            assert await waiting[1] == {"n": 1}
            await layer.send(channels[0], HELLO)
            assert await waiting[0] == HELLO

        run(main())


PROGRAM = """
import asyncio, os, sys
from asgi_redis.aio import RedisPubSubChannelLayer
layer = RedisPubSubChannelLayer([sys.argv[1]], prefix=sys.argv[2])
async def use():
    channel = await layer.new_channel()
    await layer.group_add("chat", channel)
    await layer.group_send("chat", {"type": "hello"})
    assert await layer.receive(channel) == {"type": "hello"}
    waiting = asyncio.ensure_future(layer.receive(channel))
    await asyncio.sleep(0.01)
"""


@pytest.mark.parametrize(
    "ending",
    [
        "asyncio.run(use())",
        "asyncio.run(use()); asyncio.run(layer.close())",
        """
asyncio.run(use())
pid = os.fork()
asyncio.run(use())
if pid:
    assert os.waitpid(pid, 0)[1] == 0
""",
    ],
    ids=["left open", "closed", "forked"],
)
def test_processes_fork_and_end_quietly(redis_server, prefix, ending):
    warnings = ["-W", "always", "-W", "ignore:This process:DeprecationWarning"]  # of forks while threads run
    command = [sys.executable, *warnings, "-c", PROGRAM + ending, redis_server.url, prefix]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=30)
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "", "")


def test_a_layer_that_nobody_has_any_more_stops_listening(redis_server, prefix):
    layer = RedisPubSubChannelLayer([redis_server.url], prefix=prefix)
    asyncio.run(layer.new_channel())
    assert subscribed(redis_server, prefix)
    del layer
    gc.collect()
    eventually(lambda: subscribed(redis_server, prefix) == [])


@pytest.mark.native("synchronous consumers of Channels run in threads beside the loop")
@pytest.mark.parametrize("kind", ["AsyncJsonWebsocketConsumer", "JsonWebsocketConsumer"])
def test_consumers_of_channels_hear_each_other(redis_server, prefix, kind):
    pytest.importorskip("django")
    from django.conf import settings
    from django.test import override_settings

    if not settings.configured:
        settings.configure()
    config = {
        "BACKEND": "asgi_redis.aio.RedisPubSubChannelLayer",
        "CONFIG": {"hosts": [redis_server.url], "prefix": prefix},
    }

    with override_settings(CHANNEL_LAYERS={"default": config}):
        from channels.generic import websocket
        from channels.layers import get_channel_layer

        layer = get_channel_layer()
        run(three_talk(chat(getattr(websocket, kind)).as_asgi()))
        assert layer.layer.group_channels("chat") == []
        asyncio.run(layer.close())
