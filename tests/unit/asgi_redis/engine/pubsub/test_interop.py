"""Stock channels_redis 4.3's pub/sub layer and this one on one Redis: each receives the other's messages."""

from __future__ import annotations

import asyncio
import threading

import pytest

from asgi_redis import RedisPubSubChannelLayer
from tests.behaviour.interop.test_channels_redis import MESSAGE
from tests.support.pubsub.stock import StockLayer

SETUPS = {
    "plain": {},
    "other prefix": {"prefix": "{name}:other/pre fix:"},
    "encrypted": {"symmetric_encryption_keys": ["a key"]},
    "json": {"serializer_format": "json"},
    "json encrypted": {"serializer_format": "json", "symmetric_encryption_keys": ["a key", "an old key"]},
    "sharded": {},
    "sharded and encrypted": {"symmetric_encryption_keys": ["a key"]},
}


class Pair:
    """Our layer, and a stock one with the same settings whose loop runs in a thread."""

    def __init__(self, hosts, **options):
        self.ours = RedisPubSubChannelLayer(hosts=hosts, **options)
        self.stock = StockLayer(hosts=hosts, **options)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever)
        self._thread.start()

    def run(self, call, *arguments):
        """``call`` is the name of one of the stock layer's methods."""

        async def run():
            return await asyncio.wait_for(getattr(self.stock, call)(*arguments), 10)

        return asyncio.run_coroutine_threadsafe(run(), self._loop).result(15)

    def close(self):
        self.ours.close()
        self.run("flush")
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()


@pytest.fixture(params=SETUPS)
def pair(request, three_redis_servers, prefix):
    options = {"prefix": prefix, **SETUPS[request.param]}
    options["prefix"] = options["prefix"].replace("{name}", prefix)
    servers = three_redis_servers if "sharded" in request.param else three_redis_servers[:1]
    pair = Pair([server.url for server in servers], **options)
    yield pair
    pair.close()


@pytest.fixture
def message(pair):
    if type(pair.ours._serializer).__name__ == "JSONSerializer":
        return MESSAGE
    return {**MESSAGE, "bytes": b"\x00\xff\xc2"}


class TestOursToStock:
    def test_channel(self, pair, message):
        for number in range(8):  # of different shards
            channel = pair.run("new_channel")
            pair.ours.send(channel, {**message, "n": number})
            assert pair.run("receive", channel) == {**message, "n": number}

    def test_group(self, pair, message):
        channels = [pair.run("new_channel") for _ in range(3)]
        for number in range(4):
            group = f"chat.{number}"
            for channel in channels:
                pair.run("group_add", group, channel)
            assert pair.ours.send_group(group, {**message, "n": number}) == 0
            for channel in channels:
                assert pair.run("receive", channel) == {**message, "n": number}


class TestStockToOurs:
    def test_channel(self, pair, message):
        for number in range(8):
            channel = pair.ours.new_channel()
            pair.run("send", channel, {**message, "n": number})
            assert pair.ours.receive([channel], block=True) == (channel, {**message, "n": number})

    def test_channel_of_a_name_that_both_know(self, pair, message):
        """Without a prefix, as there."""
        name = f"work.{pair.ours.client_prefix}"
        assert pair.ours.receive([name]) == (None, None)
        pair.run("send", name, message)
        assert pair.ours.receive([name], block=True) == (name, message)

    def test_group(self, pair, message):
        channels = [pair.ours.new_channel() for _ in range(3)]
        for number in range(4):
            group = f"chat.{number}"
            for channel in channels:
                pair.ours.group_add(group, channel)
            pair.run("group_send", group, {**message, "n": number})
            for channel in channels:
                assert pair.ours.receive([channel], block=True) == (channel, {**message, "n": number})

    def test_one_group_with_members_of_both(self, pair, message):
        mine, theirs = pair.ours.new_channel(), pair.run("new_channel")
        pair.ours.group_add("chat", mine)
        pair.run("group_add", "chat", theirs)
        pair.run("group_send", "chat", message)
        assert pair.ours.receive([mine], block=True) == (mine, message)
        assert pair.run("receive", theirs) == message
        pair.ours.group_discard("chat", mine)
        pair.ours.send_group("chat", message)
        assert pair.run("receive", theirs) == message
        assert pair.ours.receive([mine]) == (None, None)
