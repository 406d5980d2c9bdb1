"""What is refused, and what closing a layer does."""

from __future__ import annotations

import asyncio

import channels.exceptions
import pytest

import asgi_redis
from asgi_redis.aio import ChannelFull
from tests.support.async_waiting import until, waits

pytestmark = pytest.mark.native("event loops in native threads")

HELLO = {"type": "chat.message", "text": "hello"}


class TestErrors:
    def test_a_full_channel_raises_the_error_of_channels_and_of_this_package(self, aio_for, redis_server):
        layer = aio_for(redis_server, capacity=2)

        async def run():
            await layer.send("work", HELLO)
            await layer.send("work", HELLO)
            with pytest.raises(ChannelFull, match="work holds 2 messages"):
                await layer.send("work", HELLO)

        asyncio.run(run())
        assert issubclass(ChannelFull, channels.exceptions.ChannelFull)
        assert issubclass(ChannelFull, asgi_redis.ChannelFull)
        assert layer.ChannelFull is ChannelFull

    @pytest.mark.parametrize(
        ("call", "arguments", "error"),
        [
            ("send", ("not valid", {}), TypeError),
            ("send", (7, {}), TypeError),
            ("send", ("work", "no dict"), TypeError),
            ("send", ("work", {"a": {1, 2}}), TypeError),
            ("send", ("work", {"__asgi_channel__": "x"}), ValueError),
            ("send", ("work", {"a": "x" * 2000}), asgi_redis.MessageTooLarge),
            ("receive", ("not valid",), TypeError),
            ("receive", (None,), TypeError),
            ("new_channel", ("not valid",), TypeError),
            ("group_add", ("not valid", "work"), TypeError),
            ("group_add", ("chat", "not valid"), TypeError),
            ("group_discard", ("chat", "not valid"), TypeError),
            ("group_send", ("not valid", {}), TypeError),
            ("group_send", ("chat", {"a": object()}), TypeError),
        ],
    )
    def test_bad_input_is_refused(self, aio_for, redis_server, call, arguments, error):
        layer = aio_for(redis_server, max_message_bytes=1000)
        with pytest.raises(error):
            asyncio.run(getattr(layer, call)(*arguments))

    def test_a_setting_that_is_not_known_is_named(self):
        with pytest.raises(TypeError, match=r"capacty.*did you mean 'capacity'"):
            asgi_redis.aio.RedisChannelLayer(capacty=3)

    def test_a_key_of_another_type_costs_its_channel_alone(self, layer, client, prefix, caplog):
        client.set(f"{prefix}bad", "not a queue")

        async def run():
            bad = asyncio.ensure_future(layer.receive("bad"))
            await until(lambda: "is a string, not a sorted set" in caplog.text)
            await layer.send("work", HELLO)
            assert await asyncio.wait_for(layer.receive("work"), 5) == HELLO
            assert not bad.done()
            client.delete(f"{prefix}bad")
            await layer.send("bad", HELLO)
            assert await asyncio.wait_for(bad, 10) == HELLO

        asyncio.run(run())


class TestClosing:
    def test_who_waits_is_told(self, layer):
        async def run():
            waiting = asyncio.ensure_future(layer.receive("work"))
            await until(lambda: waits(layer, "work"))
            await layer.close()
            with pytest.raises(asgi_redis.exceptions.LayerClosed):
                await waiting

        asyncio.run(run())

    def test_threads_and_connections_are_gone_and_come_back(self, layer, prefix, redis_server, client):
        def threads():
            parts = [*layer._parts, *layer._mailboxes.receiver.threads]
            return [part for part in parts if getattr(part, "_threads", None) or getattr(part, "_thread", None)]

        async def run():
            for _ in range(2):
                await layer.send("work", HELLO)
                assert await layer.receive("work") == HELLO
                assert threads()
                await layer.close()
                assert not threads()
                assert not layer.layer._shards[0].server._idle

        asyncio.run(run())

    def test_a_layer_that_is_collected_takes_its_threads_with_it(self, redis_server, prefix, eventually):
        layer = asgi_redis.aio.RedisChannelLayer([redis_server.url], prefix=prefix)
        asyncio.run(layer.send("work", HELLO))
        assert asyncio.run(layer.receive("work")) == HELLO
        threads = [
            *layer._pipelines.queues[layer.layer._shards[0]]._threads,
            layer._mailboxes.receiver.threads[0]._thread,
        ]
        assert all(thread.is_alive() for thread in threads)
        del layer
        eventually(lambda: not any(thread.is_alive() for thread in threads))
