"""A send that may be repeated after any error, and never sends twice."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import socket
import threading
import time

import pytest
import redis

from asgi_redis import InMemoryChannelLayer, RedisChannelLayer
from asgi_redis.aio.pipelined import asynchronous
from asgi_redis.embedded import RedisServer
from asgi_redis.wire import Witness
from tests.support.delivery.queues import drain
from tests.support.proxy import Proxy
from workers import Channel, Message
from workers.channel import PendingMessageStore, send_persistently


@pytest.fixture(autouse=True)
def _loaded_script(layer_for, redis_server):
    """A request for a script that Redis does not know yet sends nothing where its reply is lost."""
    layer_for(redis_server.url).repeatable_send("first", {}, Witness("first", 0))()


def send(layer, number, attempts=2):
    """Call the repeatable send of one message until it raises nothing; return the number of calls."""
    attempt = layer.repeatable_send("work", {"number": number}, Witness("a", number))
    for calls in range(1, attempts):
        with contextlib.suppress(redis.exceptions.ConnectionError):
            attempt()
            return calls
    attempt()
    return attempts


@pytest.mark.parametrize("forward", [True, False])
def test_a_message_whose_line_was_cut_arrives_once(layer_for, proxy, redis_server, forward):
    layer, direct = layer_for(proxy.url), layer_for(redis_server.url)
    assert send(layer, 0) == 1
    proxy.cut_on(b"EVAL", forward=forward)
    assert send(layer, 1) == 2
    assert send(layer, 2) == 1
    assert proxy.cuts == 1
    assert drain(direct, "work") == [0, 1, 2]


def test_a_request_that_arrives_after_its_repetition_does_nothing(layer_for, redis_server):
    """The network may deliver what a line held that was given up, after what was sent on the next line."""
    layer = layer_for(redis_server.url)
    late, repeated = (layer.repeatable_send("work", {"number": 0}, Witness("a", 0)) for _ in range(2))
    repeated()
    layer.repeatable_send("work", {"number": 1}, Witness("a", 1))()
    late()
    assert drain(layer, "work") == [0, 1]


def test_a_message_that_was_taken_meanwhile_does_not_come_again(layer_for, proxy, redis_server):
    layer, direct = layer_for(proxy.url), layer_for(redis_server.url)
    attempt = layer.repeatable_send("work", {"number": 0}, Witness("a", 0))
    proxy.cut_on(b"EVAL")
    with pytest.raises(redis.exceptions.ConnectionError):
        attempt()
    assert drain(direct, "work") == [0]
    attempt()
    assert drain(direct, "work") == []


def test_senders_do_not_know_of_each_other(layer_for, proxy, redis_server):
    layer, direct = layer_for(proxy.url), layer_for(redis_server.url)
    layer.repeatable_send("work", {"number": 7}, Witness("b", 7))()
    proxy.cut_on(b"EVAL", forward=False)
    assert send(layer, 1) == 2
    assert drain(direct, "work") == [7, 1]


def test_a_full_channel_is_channel_full_and_leaves_no_witness(layer_for, redis_server):
    layer = layer_for(redis_server.url, capacity=1)
    layer.send("work", {"number": 0})
    attempt = layer.repeatable_send("work", {"number": 1}, Witness("a", 1))
    for _ in range(2):
        with pytest.raises(layer.ChannelFull, match="work"):
            attempt()
    assert drain(layer, "work") == [0]
    attempt()
    assert drain(layer, "work") == [1]


def test_with_shards_the_same_shard_is_asked_again(redis_server, prefix):
    with (
        RedisServer() as second,
        Proxy((redis_server.host, redis_server.port)) as one,
        Proxy((second.host, second.port)) as two,
    ):
        hosts = [one.url, two.url]
        with RedisChannelLayer(hosts=hosts, prefix=prefix) as layer:
            for number in range(10):
                (one, two)[number % 2].cut_on(b"EVAL", forward=number % 3 == 0)
                attempt = layer.repeatable_send("work", {"number": number}, Witness("a", number))
                for _ in range(3):
                    with contextlib.suppress(redis.exceptions.ConnectionError):
                        attempt()
                        break
            while one.armed or two.armed:
                with contextlib.suppress(redis.exceptions.ConnectionError):
                    layer.send("other", {})
            assert sorted(drain(layer, "work")) == list(range(10))


def test_shards_take_turns_and_share_the_capacity(redis_server, prefix):
    """A full one is passed over; only where all are full is that a refusal, which is counted once."""
    with (
        RedisServer() as second,
        RedisChannelLayer(
            hosts=[redis_server.url, second.url], prefix=prefix, stats_prefix=f"{prefix}-meta:", capacity=6
        ) as layer,
        redis.Redis.from_url(redis_server.url) as one,
        redis.Redis.from_url(second.url) as two,
    ):
        attempts = (layer.repeatable_send("work", {"number": n}, Witness("a", n)) for n in itertools.count())
        for sent in (1, 2, 3):
            next(attempts)()
            next(attempts)()
            assert [shard.zcard(f"{prefix}work") for shard in (one, two)] == [sent, sent]
        for _ in range(2):  # the turn is at the full one once
            one.zpopmin(f"{prefix}work")
            next(attempts)()
        with pytest.raises(layer.ChannelFull):
            next(attempts)()
        statistics = layer.channel_statistics("work")
        assert (statistics["messages_count"], statistics["channel_full_count"]) == (8, 1)


def test_only_the_shard_that_may_still_get_a_request_is_asked_again(layer_for, proxy, redis_server):
    """Another one would not know of the message when the late request is carried out."""
    direct = layer_for(redis_server.url)
    with RedisServer() as second:
        layer = layer_for(proxy.url, second.url, capacity=2)
        late, _, attempt = (layer.repeatable_send("work", {"number": 0}, Witness("a", 0)) for _ in range(3))
        proxy.cut_on(b"EVAL", forward=False)
        with pytest.raises(redis.exceptions.ConnectionError):
            attempt()
        direct.send("work", {"number": "other"})
        with contextlib.suppress(layer.ChannelFull):
            attempt()
        taken = drain(layer, "work")
        late()
        assert taken + drain(layer, "work") == ["other", 0]


def test_the_witness_expires_with_the_message(layer_for, redis_server, prefix):
    layer = layer_for(redis_server.url, expiry=300)
    send(layer, 1)
    with redis.Redis.from_url(redis_server.url) as client:
        assert 200 < client.ttl(f"{prefix}:sent:a") <= 301
        assert client.get(f"{prefix}:sent:a") == b"1"
    layer.flush()
    with redis.Redis.from_url(redis_server.url) as client:
        assert not client.exists(f"{prefix}:sent:a")


def test_it_survives_script_flush(layer_for, redis_server):
    layer = layer_for(redis_server.url)
    send(layer, 1)
    with redis.Redis.from_url(redis_server.url) as client:
        client.script_flush()
    send(layer, 2)
    assert drain(layer, "work") == [1, 2]


@pytest.mark.parametrize("forward", [True, False])
def test_the_asynchronous_layer_has_it_too(layer_for, proxy, redis_server, forward):
    layer, direct = layer_for(proxy.url), layer_for(redis_server.url)

    async def run():
        asynchronous_layer = asynchronous(layer)
        attempt = asynchronous_layer.repeatable_send("work", {"number": 0}, Witness("a", 0))
        proxy.cut_on(b"EVAL", forward=forward)
        with pytest.raises(redis.exceptions.ConnectionError):
            await attempt()
        await attempt()
        await asynchronous_layer.close()

    asyncio.run(run())
    assert drain(direct, "work") == [0]


def test_of_the_asynchronous_layer_too_a_late_attempt_is_refused(layer_for, proxy, redis_server, monkeypatch):
    layer = layer_for(proxy.url, expiry=30)
    now = time.monotonic()

    async def run():
        asynchronous_layer = asynchronous(layer)
        attempt = asynchronous_layer.repeatable_send("work", {"number": 0}, Witness("a", 0))
        proxy.cut_on(b"EVAL")
        with pytest.raises(redis.exceptions.ConnectionError):
            await attempt()
        with monkeypatch.context() as patch:
            patch.setattr(time, "monotonic", lambda: now + 30)
            with pytest.raises(redis.exceptions.RedisError, match="too late"):
                await attempt()
        await asynchronous_layer.close()

    asyncio.run(run())
    assert drain(layer_for(redis_server.url), "work") == [0]


@pytest.mark.parametrize("forward", [True, False])
def test_the_messages_of_a_consumer_arrive_once(layer_for, proxy, redis_server, forward):
    layer, direct = layer_for(proxy.url), layer_for(redis_server.url)
    store = PendingMessageStore()
    store.prepare()
    reply = Message({"reply_channel": "answers.1!a"}, "work", layer).reply_channel
    for number in range(3):
        store.append(reply, {"number": number})
        store.append(Channel("work", channel_layer=layer), {"number": number})
    proxy.cut_on(b"EVAL", forward=forward, times=4)
    store.flush()
    assert proxy.cuts == 4
    assert store.dropped == 0
    assert drain(direct, "work") == drain(direct, "answers.1!") == [0, 1, 2]


def test_what_another_slot_sends_in_between_does_not_stand_for_a_message(layer_for, proxy, redis_server, monkeypatch):
    layer, direct = layer_for(proxy.url), layer_for(redis_server.url)

    def send(number):
        send_persistently(Channel("work", channel_layer=layer), {"number": number}, time.monotonic())

    def pause(seconds):
        """The time between two attempts."""
        slot = threading.Thread(target=send, args=(1,))
        slot.start()
        slot.join()

    proxy.cut_on(b"EVAL", forward=False)
    with monkeypatch.context() as patch:
        patch.setattr(time, "sleep", pause)
        send(0)
    assert drain(direct, "work") == [1, 0]


def test_a_consumer_repeats_a_message_only_while_its_witness_lasts(layer_for, proxy, redis_server):
    layer, direct = layer_for(proxy.url, expiry=2), layer_for(redis_server.url, expiry=2)
    store = PendingMessageStore()
    store.prepare()
    store.append(Channel("work", channel_layer=layer), {"number": 0})
    proxy.cut_on(b"EVAL", times=1000)
    begin = time.monotonic()
    store.flush()
    assert store.dropped == 1
    assert 0.5 < time.monotonic() - begin < 9
    assert direct.channel_statistics("work")["messages_count"] == 1


@pytest.mark.parametrize("expiry", [0.5, 30])
def test_an_attempt_that_the_witness_may_not_outlive_is_refused(layer_for, proxy, redis_server, monkeypatch, expiry):
    """From the first attempt on, however long that has waited for its reply."""
    now = time.monotonic()
    layer = layer_for(proxy.url, expiry=expiry)
    attempt = layer.repeatable_send("work", {"number": 0}, Witness("a", 0))
    proxy.cut_on(b"EVAL")
    with pytest.raises(redis.exceptions.ConnectionError):
        attempt()
    monkeypatch.setattr(time, "monotonic", lambda: now + expiry)
    with pytest.raises(redis.exceptions.RedisError, match="too late"):
        attempt()
    assert drain(layer_for(redis_server.url), "work") == [0]


def test_a_refused_connection_after_a_lost_reply_does_not_begin_the_time_anew(layer_for, redis_server, monkeypatch):
    now = time.monotonic()
    with Proxy((redis_server.host, redis_server.port)) as proxy:
        attempt = layer_for(proxy.url, expiry=30).repeatable_send("work", {"number": 0}, Witness("a", 0))
        proxy.cut_on(b"EVAL")
        with pytest.raises(redis.exceptions.ConnectionError):
            attempt()
    with pytest.raises(redis.exceptions.ConnectionError, match="refused"):
        attempt()
    monkeypatch.setattr(time, "monotonic", lambda: now + 30)
    with pytest.raises(redis.exceptions.RedisError, match="too late"):
        attempt()


def test_a_channel_that_was_full_for_long_is_tried_again(layer_for, redis_server, monkeypatch):
    """Redis has said that it has not taken the message."""
    layer = layer_for(redis_server.url, expiry=30, capacity=1)
    layer.send("work", {"number": 0})
    attempt = layer.repeatable_send("work", {"number": 1}, Witness("a", 1))
    for later in (0, 40):
        now = time.monotonic()
        monkeypatch.setattr(time, "monotonic", lambda now=now, later=later: now + later)
        with pytest.raises(layer.ChannelFull):
            attempt()
    monkeypatch.undo()
    assert drain(layer, "work") == [0]


@pytest.mark.parametrize("asynchronously", [False, True])
def test_a_shard_that_refuses_connections_is_passed_over_the_next_time(redis_server, prefix, asynchronously):
    with socket.socket() as port:
        port.bind(("127.0.0.1", 0))  # and does not listen
        with RedisChannelLayer(hosts=[port.getsockname(), redis_server.url], prefix=prefix) as layer:
            for number in range(4):
                if asynchronously:
                    asyncio.run(send_asynchronously(layer, number))
                else:
                    send(layer, number)
    with RedisChannelLayer(hosts=[redis_server.url], prefix=prefix) as direct:
        assert drain(direct, "work") == [0, 1, 2, 3]


async def send_asynchronously(layer, number):
    asynchronous_layer = asynchronous(layer)
    attempt = asynchronous_layer.repeatable_send("work", {"number": number}, Witness("a", number))
    try:
        await attempt()
    except redis.exceptions.ConnectionError:
        await attempt()
    finally:
        await asynchronous_layer.close()


class Overridden(RedisChannelLayer):
    """A layer whose ``send`` does more."""

    def send(self, channel, message):
        super().send(channel, {**message, "more": True})


def test_a_layer_that_cannot_tell_has_none(redis_server, prefix):
    with Overridden(hosts=[redis_server.url], prefix=prefix) as layer:
        assert layer.repeatable_send("work", {}, Witness("a", 1)) is None

        async def run():
            asynchronous_layer = asynchronous(layer)
            assert asynchronous_layer.repeatable_send("work", {}, Witness("a", 1)) is None
            await asynchronous_layer.send("work", {})
            await asynchronous_layer.close()

        asyncio.run(run())
        assert layer.receive(["work"]) == ("work", {"more": True})
    assert InMemoryChannelLayer().repeatable_send("work", {}, Witness("a", 1)) is None
