"""Stock channels_redis 4.3 and this layer on one Redis: each reads what the other sends."""

from __future__ import annotations

import asyncio

import pytest
from channels_redis.core import RedisChannelLayer as StockLayer
from opentelemetry.trace import SpanKind

from asgi_redis import ChannelFull, RedisChannelLayer
from asgi_redis.integrations.opentelemetry import processing
from tests.support.spans import links_to
from tests.support.spans import spans as spans

MESSAGE = {
    "type": "chat.message",
    "text": "\u00a3 \U0001f612 \u0000",
    "number": -(2**40),
    "float": 0.1,
    "nothing": None,
    "yes": True,
    "nested": {"list": [1, [2, {"three": 3}]], "empty": {}},
}

SETUPS = {
    "plain": {},
    "other prefix": {"prefix": "{name}-custom.prefix:"},
    "encrypted": {"symmetric_encryption_keys": ["a key"]},
    "json": {"serializer_format": "json"},
    "json encrypted": {"serializer_format": "json", "symmetric_encryption_keys": ["a key", "an old key"]},
    "small capacity": {"capacity": 3},
}


class Pair:
    """Our layer and a stock one with the same settings; each call of the stock one has a loop of its own."""

    def __init__(self, hosts, **options):
        self.ours = RedisChannelLayer(hosts=hosts, **options)
        self.stock = StockLayer(hosts=hosts, **options)

    def run(self, call, *args):
        """``call`` is the name of one of the stock layer's methods."""

        async def run():
            try:
                return await asyncio.wait_for(getattr(self.stock, call)(*args), 10)
            finally:
                await self.stock.close_pools()

        return asyncio.run(run())


@pytest.fixture(params=SETUPS)
def pair(request, redis_server, prefix):
    options = {"prefix": prefix, **SETUPS[request.param]}
    options["prefix"] = options["prefix"].replace("{name}", prefix)
    pair = Pair([redis_server.url], **options)
    yield pair
    pair.ours.flush()
    pair.ours.close()


@pytest.fixture
def message(pair):
    if type(pair.stock._serializer).__name__ == "JSONSerializer":
        return MESSAGE
    return {**MESSAGE, "bytes": b"\x00\xff\xc2"}


class TestOursToStock:
    def test_normal_channel(self, pair, message):
        pair.ours.send("work", message)
        assert pair.run("receive", "work") == message

    def test_direct_channel(self, pair, message):
        channel = pair.run("new_channel")
        pair.ours.send(channel, message)
        assert pair.run("receive", channel) == message

    def test_several_come_in_the_order_of_sending(self, pair):
        for number in range(3):
            pair.ours.send("work", {"number": number})
        assert [pair.run("receive", "work")["number"] for _ in range(3)] == [0, 1, 2]

    def test_group_whose_members_stock_added(self, pair, message):
        channels = [pair.run("new_channel") for _ in range(3)]
        for channel in channels:
            pair.run("group_add", "chat", channel)
        pair.run("group_discard", "chat", channels.pop())
        assert sorted(pair.ours.group_channels("chat")) == sorted(channels)
        assert not pair.ours.send_group("chat", message)

        async def receive_all():
            received = [await pair.stock.receive(channel) for channel in channels]
            await pair.stock.close_pools()
            return received

        # In one loop: the stock layer keeps the second member's copy in the memory of the first one's loop.
        assert asyncio.run(asyncio.wait_for(receive_all(), 10)) == [message, message]

    def test_group_whose_member_we_discarded(self, pair, message):
        gone, stays = pair.run("new_channel"), pair.run("new_channel")
        for channel in (gone, stays):
            pair.run("group_add", "chat", channel)
        pair.ours.group_discard("chat", gone)
        pair.ours.send_group("chat", message)
        assert pair.run("receive", stays) == message
        assert pair.ours.receive([pair.ours.non_local_name(gone)]) == (None, None)

    def test_group_of_two_processes_and_a_normal_channel(self, pair, message, redis_server):
        other = StockLayer(hosts=[redis_server.url], prefix=pair.stock.prefix)
        mine, theirs = pair.run("new_channel"), asyncio.run(other.new_channel())
        for channel in (mine, theirs, "work"):
            pair.run("group_add", "chat", channel)
        assert not pair.ours.send_group("chat", message)
        assert pair.run("receive", mine) == message
        assert pair.run("receive", "work") == message
        assert pair.ours.receive([pair.ours.non_local_name(theirs)]) == (theirs, message)


def test_a_message_with_the_context_of_a_span_is_an_ordinary_one_for_stock(pair, message, spans):
    one, two = pair.run("new_channel"), pair.run("new_channel")
    pair.ours.send("work", message)
    pair.ours.send(one, message)
    pair.run("group_add", "chat", two)
    pair.ours.send_group("chat", message)
    for channel in ("work", one, two):
        received = pair.run("receive", channel)
        with processing(channel, received):
            assert received == message
    produced = [span for span in spans.all() if span.kind == SpanKind.PRODUCER]
    consumed = [span for span in spans.all() if span.kind == SpanKind.CONSUMER]
    assert all(map(links_to, consumed, produced))
    assert len(produced) == len(consumed) == 3


class TestStockToOurs:
    def test_normal_channel(self, pair, message):
        pair.run("send", "work", message)
        assert pair.ours.receive(["work"]) == ("work", message)

    def test_normal_channel_blocking(self, pair, message):
        pair.run("send", "work", message)
        assert pair.ours.receive(["idle", "work"], block=True) == ("work", message)

    def test_batch(self, pair):
        for number in range(3):
            pair.run("send", "work", {"number": number})
        received = pair.ours.receive_batch(["work"], 10)
        assert [(channel, message["number"]) for channel, message in received] == [
            ("work", 0),
            ("work", 1),
            ("work", 2),
        ]

    def test_direct_channel(self, pair, message):
        channel = "specific.0123456789abcdef!tail"
        pair.run("send", channel, message)
        assert pair.ours.receive(["specific.0123456789abcdef!"]) == (channel, message)

    def test_group_whose_members_we_added(self, pair, message):
        channels = ["specific.one!a", "specific.one!b", "specific.two!c", "work"]
        for channel in [*channels, "specific.one!gone"]:
            pair.ours.group_add("chat", channel)
        pair.run("group_discard", "chat", "specific.one!gone")
        pair.run("group_send", "chat", message)
        readable = ["specific.one!", "specific.two!", "work"]
        received = [pair.ours.receive(readable) for _ in range(4)]
        assert sorted(channel for channel, _ in received) == channels
        assert all(content == message for _, content in received)
        assert pair.ours.receive(readable) == (None, None)

    def test_group_member_we_discarded_gets_nothing(self, pair, message):
        pair.run("group_add", "chat", "specific.one!a")
        pair.ours.group_discard("chat", "specific.one!a")
        pair.run("group_send", "chat", message)
        assert pair.ours.receive(["specific.one!"]) == (None, None)


class TestCapacity:
    """Either side counts the other's messages."""

    @pytest.fixture
    def pair(self, redis_server, prefix):
        pair = Pair([redis_server.url], prefix=prefix, capacity=2)
        yield pair
        pair.ours.flush()
        pair.ours.close()

    def test_we_count_those_of_stock(self, pair):
        for _ in range(2):
            pair.run("send", "work", {})
        with pytest.raises(ChannelFull):
            pair.ours.send("work", {})

    def test_stock_counts_ours(self, pair):
        from channels.exceptions import ChannelFull as StockChannelFull

        for _ in range(2):
            pair.ours.send("work", {})
        with pytest.raises(StockChannelFull):
            pair.run("send", "work", {})


class TestShards:
    """On three servers. (Its direct channels are left out: channels_redis loses most of those itself.)"""

    @pytest.fixture
    def pair(self, three_redis_servers, prefix):
        pair = Pair([server.url for server in three_redis_servers], prefix=prefix)
        yield pair
        pair.ours.flush()
        pair.ours.close()

    def test_groups_are_looked_for_on_the_same_shard(self, pair):
        for number in range(20):
            group, channel = f"group-{number}", f"specific.{number}!x"
            pair.run("group_add", group, channel)
            assert pair.ours.group_channels(group) == [channel]
            pair.ours.send_group(group, {"number": number})
            assert pair.ours.receive([f"specific.{number}!"]) == (channel, {"number": number})

    def test_what_stock_sends_to_a_group_is_read_from_its_shard(self, pair):
        for number in range(20):
            group, channel = f"group-{number}", f"specific.{number}!x"
            pair.ours.group_add(group, channel)
            pair.run("group_send", group, {"number": number})
            assert pair.ours.receive([f"specific.{number}!"]) == (channel, {"number": number})

    def test_what_we_send_directly_is_read_by_stock(self, pair):
        for number in range(20):
            channel = pair.run("new_channel")
            pair.ours.send(channel, {"number": number})
            assert pair.run("receive", channel) == {"number": number}

    def test_normal_channels_both_ways(self, pair):
        for number in range(6):
            pair.run("send", "work", {"number": number})
        numbers = [pair.ours.receive(["work"])[1]["number"] for _ in range(6)]
        assert sorted(numbers) == list(range(6))
