"""The asynchronous face: stock channels_redis beside it, loops that come and go, cancelling, outages, consumers."""

from __future__ import annotations

import asyncio
import gc
import subprocess
import sys
import threading

import pytest
import redis
from channels_redis.pubsub import RedisPubSubChannelLayer as StockLayer
from redis.exceptions import ConnectionError

from asgi_redis.aio import RedisPubSubChannelLayer
from asgi_redis.exceptions import LayerClosed
from tests.aio.test_consumers import Window, chat
from tests.pubsub.subscribers import kill_listeners, subscribed
from tests.threads import in_threads
from tests.waiting import eventually

HELLO = {"type": "hello", "bytes": b"\xff"}
NOTICES = {"on_disconnect": "redis.disconnect", "on_reconnect": "redis.reconnect"}


@pytest.fixture
def aio_for(prefix):
    """``aio_for(*hosts, **settings)`` makes a layer under ``prefix`` that is closed in the end."""
    layers = []

    def make(*hosts, **settings):
        layers.append(RedisPubSubChannelLayer([host.url for host in hosts], **{"prefix": prefix, **settings}))
        return layers[-1]

    yield make
    for layer in layers:
        asyncio.run(layer.close())


@pytest.fixture
def layer(aio_for, redis_server):
    return aio_for(redis_server)


def run(coroutine):
    return asyncio.run(asyncio.wait_for(coroutine, 20))


async def until(predicate):
    while not predicate():
        await asyncio.sleep(0.001)


def waits(layer, channel):
    """Whether somebody waits in receive."""
    inbox = layer.layer._subscriptions.inboxes.get(channel)
    return inbox is not None and bool(inbox.waiting) and inbox.confirmed


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
        assert threading.active_count() == threads
        gc.collect()
        assert len(layer._bells) <= 1

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


class TestReceiving:
    def test_cancelling_at_any_moment_loses_nothing(self, aio_for, redis_server):
        layer = aio_for(redis_server, capacity=10_000)
        received = []

        async def read(channel):
            while True:
                message = await layer.receive(channel)
                received.append(message["n"])

        async def main():
            channel = await layer.new_channel()
            readers = [asyncio.ensure_future(read(channel)) for _ in range(4)]
            for number in range(2000):
                await layer.send(channel, {"n": number})
                position = number % 4
                readers[position].cancel()
                readers[position] = asyncio.ensure_future(read(channel))
            await until(lambda: len(received) == 2000)
            for reader in readers:
                reader.cancel()
            await asyncio.gather(*readers, return_exceptions=True)
            assert sorted(received) == list(range(2000))

        run(main())

    def test_many_wait_and_a_group_send_wakes_them_all(self, layer):
        async def main():
            channels = [await layer.new_channel() for _ in range(200)]
            for channel in channels:
                await layer.group_add("chat", channel)
            waiting = [asyncio.ensure_future(layer.receive(channel)) for channel in channels]
            await until(lambda: all(waits(layer, channel) for channel in channels))
            await layer.group_send("chat", HELLO)
            assert await asyncio.gather(*waiting) == [HELLO] * 200

        run(main())

    def test_a_channel_whose_reader_was_cancelled_is_forgotten_unless_one_comes_again(
        self, aio_for, redis_server, prefix
    ):
        layer = aio_for(redis_server, expiry=0.5)

        async def cancelled(channel):
            with pytest.raises(asyncio.TimeoutError):
                await asyncio.wait_for(layer.receive(channel), 0.05)

        async def main():
            gone, stays = await layer.new_channel(), await layer.new_channel()
            for channel in (gone, stays):
                await layer.group_add("chat", channel)
                await cancelled(channel)
            waiting = asyncio.ensure_future(layer.receive(stays))
            await until(lambda: layer.layer.group_channels("chat") == [stays])
            assert subscribed(redis_server, prefix) == sorted([stays, f"{prefix}__group__chat"])
            await layer.group_send("chat", HELLO)
            assert await waiting == HELLO

        run(main())

    def test_what_cannot_be_decoded_is_passed_over(self, layer, redis_server):
        async def main():
            channel = await layer.new_channel()
            with redis.Redis.from_url(redis_server.url, protocol=2) as client:
                client.publish(channel, b"\xc1")
            await layer.send(channel, HELLO)
            assert await layer.receive(channel) == HELLO
            assert layer.layer.undecodable_count == 1

        run(main())

    def test_the_oldest_are_dropped_at_capacity(self, aio_for, redis_server):
        async def main():
            layer = aio_for(redis_server, capacity=2)
            channel = await layer.new_channel()
            for number in range(5):
                await layer.send(channel, {"n": number})
            await until(lambda: layer.dropped_count == 3)
            assert [(await layer.receive(channel))["n"] for _ in range(2)] == [3, 4]

        run(main())

    def test_flush_forgets_and_who_waits_goes_on(self, layer, prefix):
        async def main():
            name = f"{prefix}.work"
            waiting = asyncio.ensure_future(layer.receive(name))
            await until(lambda: waits(layer, name))
            before = layer.layer._subscriptions.inboxes[name]
            await layer.flush()
            await until(lambda: waits(layer, name) and layer.layer._subscriptions.inboxes[name] is not before)
            await layer.send(name, HELLO)
            assert await waiting == HELLO

        run(main())

    def test_close_ends_what_waits_and_the_layer_can_be_used_again(self, layer, redis_server, prefix):
        async def main():
            channel = await layer.new_channel()
            waiting = asyncio.ensure_future(layer.receive(channel))
            await until(lambda: waits(layer, channel))
            await layer.close()
            with pytest.raises(LayerClosed):
                await waiting
            assert subscribed(redis_server, prefix) == []
            channel = await layer.new_channel()
            await layer.send(channel, HELLO)
            assert await layer.receive(channel) == HELLO

        run(main())

    @pytest.mark.parametrize("name", ["two words", "x" * 100, "", None, 7])
    def test_a_name_that_is_not_valid_is_a_type_error(self, layer, name):
        for call in (
            lambda: layer.send(name, {}),
            lambda: layer.receive(name),
            lambda: layer.group_add("chat", name),
            lambda: layer.group_send(name, {}),
        ):
            with pytest.raises(TypeError):
                run(call())


class TestOutages:
    def test_a_restart_is_told_and_survived(self, aio_for, fresh_redis_server):
        layer = aio_for(fresh_redis_server, **NOTICES)

        async def main():
            channel = await layer.new_channel()
            await layer.group_add("chat", channel)
            waiting = asyncio.ensure_future(layer.receive(channel))
            await until(lambda: waits(layer, channel))
            await asyncio.to_thread(fresh_redis_server.kill)
            assert await waiting == {"type": "redis.disconnect"}
            for call in (layer.new_channel(), layer.group_send("chat", HELLO), layer.receive("unheard.of")):
                with pytest.raises(ConnectionError):
                    await call
            waiting = asyncio.ensure_future(layer.receive(channel))
            await asyncio.to_thread(fresh_redis_server.start)
            assert await waiting == {"type": "redis.reconnect"}
            await layer.group_send("chat", HELLO)
            assert await layer.receive(channel) == HELLO

        run(main())

    def test_a_connection_that_is_cut_again_and_again(self, aio_for, fresh_redis_server, prefix):
        layer = aio_for(fresh_redis_server, **NOTICES)

        async def main():
            channel = await layer.new_channel()
            for number in range(5):
                await asyncio.to_thread(kill_listeners, fresh_redis_server)
                assert await layer.receive(channel) == {"type": "redis.disconnect"}
                assert await layer.receive(channel) == {"type": "redis.reconnect"}
                await layer.send(channel, {"n": number})
                assert await layer.receive(channel) == {"n": number}

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
    warnings = ["-W", "always", "-W", "ignore:This process:DeprecationWarning"]  # of forks beside threads
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

    async def main(application):
        windows = [Window(application) for _ in range(3)]
        for window in windows:
            await window.open()
        for number, window in enumerate(windows):
            await window.say(f"hello {number}")
            for other in windows:
                assert await other.hear() == f"hello {number}"
        await windows[0].close()
        await windows[1].say("who is there?")
        assert await windows[2].hear() == "who is there?"
        await asyncio.gather(*(window.close() for window in windows[1:]))

    with override_settings(CHANNEL_LAYERS={"default": config}):
        from channels.generic import websocket
        from channels.layers import get_channel_layer

        layer = get_channel_layer()
        run(main(chat(getattr(websocket, kind)).as_asgi()))
        assert layer.layer.group_channels("chat") == []
        asyncio.run(layer.close())
