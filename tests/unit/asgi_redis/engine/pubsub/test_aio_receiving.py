"""Receiving with the asynchronous layer: cancelling, buffers, the end, outages."""

from __future__ import annotations

import asyncio
import time

import pytest
import redis
from redis.exceptions import ConnectionError

from asgi_redis.exceptions import LayerClosed
from tests.support.pubsub.loops import HELLO, run, until, waits
from tests.support.pubsub.subscribers import NOTICES, kill_listeners, subscribed


@pytest.fixture
def layer(aio_for, redis_server):
    return aio_for(redis_server)


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

    @pytest.mark.native("all greenlets of a thread see its running loop, so none settles a future at once")
    @pytest.mark.parametrize("sent_meanwhile", [0, 1])
    def test_what_comes_together_with_the_cancelling_is_for_the_next(self, aio_for, redis_server, sent_meanwhile):
        """It is the oldest still."""
        layer = aio_for(redis_server, capacity=1)

        async def main():
            channel = await layer.new_channel()
            waiting = asyncio.ensure_future(layer.receive(channel))
            await until(lambda: waits(layer, channel))
            inbox = layer.layer.subscriptions.inboxes[channel]
            (waiter,) = inbox.waiting
            with layer.layer.subscriptions.lock:
                inbox.deliver(layer.serialize({"n": 1}), time.monotonic())
                assert waiter.future.done()
                for _ in range(sent_meanwhile):
                    inbox.deliver(layer.serialize({"n": 2}), time.monotonic())
            waiting.cancel()
            with pytest.raises(asyncio.CancelledError):
                await waiting
            for number in range(1, 2 + sent_meanwhile):
                assert await layer.receive(channel) == {"n": number}
            assert layer.dropped_count == 0

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
        layer = aio_for(redis_server, expiry=1)

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
            before = layer.layer.subscriptions.inboxes[name]
            await layer.flush()
            await until(lambda: waits(layer, name) and layer.layer.subscriptions.inboxes[name] is not before)
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
