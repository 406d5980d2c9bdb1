"""The page of the differences from channels_redis: its rows, with both packages on one Redis."""

from __future__ import annotations

import asyncio
import time

import channels.exceptions
import pytest
import redis
from channels_redis import core

from asgi_redis import aio
from asgi_redis.exceptions import (
    ConfigurationError,
    InvalidMessage,
    InvalidName,
    MessageTooLarge,
    ReservedKey,
    UnknownSetting,
)
from tests.support.both_layers import NOTHING, outcome

pytestmark = [pytest.mark.timeout(60), pytest.mark.native("event loops in native threads")]


# Stricter


@pytest.mark.difference(
    "``capacity`` of 0, or a str",
    "``expiry`` below 0, or a str",
    "``random_prefix_length`` below 4",
    "an empty string as an encryption key",
)
@pytest.mark.parametrize(
    "setting",
    [
        {"capacity": 0},
        {"capacity": "5"},
        {"expiry": -1},
        {"expiry": "60"},
        {"random_prefix_length": 0},
        {"symmetric_encryption_keys": [""]},
    ],
    ids=str,
)
def test_settings_that_cannot_work_are_errors_here(both, setting):
    assert both.errors(**setting) == (None, ConfigurationError)


@pytest.mark.difference(
    "``hosts`` is an empty list",
    "a wrong URL, or an unknown option of redis-py, in ``hosts``",
)
@pytest.mark.parametrize(
    "hosts", [[], ["localhost:6379"], [{"address": "redis://localhost", "nonsense": 1}]], ids=str
)
def test_wrong_hosts_are_errors_here(both, hosts):
    assert both.errors(hosts) == (None, ConfigurationError)


@pytest.mark.difference("positional arguments")
def test_only_hosts_may_be_positional_here(both):
    assert both.errors(both.urls) == (None, None)
    assert both.errors(both.urls, "prefix") == (None, TypeError)


@pytest.mark.difference("an unknown setting")
def test_unknown_settings_are_errors_in_both(both):
    assert both.errors(expirey=3) == (TypeError, UnknownSetting)
    assert issubclass(UnknownSetting, TypeError)


@pytest.mark.difference("errors about names and messages", "a message over 8 MiB")
@pytest.mark.parametrize(
    ("message", "stock", "ours"),
    [
        ({1: 2}, None, InvalidMessage),
        ({"data": b"x" * (8 << 20)}, None, MessageTooLarge),
        ("text", AssertionError, InvalidMessage),
        ({"__asgi_channel__": "x"}, AssertionError, ReservedKey),
        ({"value": object()}, TypeError, InvalidMessage),
        ({"value": 2**70}, OverflowError, InvalidMessage),
    ],
    ids=["key", "size", "no dict", "reserved", "object", "number"],
)
def test_messages(both, message, stock, ours):
    assert both(lambda layer: outcome(layer.send("work", message), 10)) == (stock, ours)


@pytest.mark.difference("keys of a message that are no str")
def test_keys_that_are_no_str_fail_when_they_are_received(both):
    async def scenario(layer):
        await outcome(layer.send("work", {1: 2}), 10)
        return await outcome(layer.receive("work"))

    assert both(scenario) == (ValueError, NOTHING)


@pytest.mark.difference("``__asgi_channel__`` in a group message")
def test_the_reserved_key_in_a_group_message(both):
    assert both(lambda layer: outcome(layer.group_send("chat", {"__asgi_channel__": "x"}), 10)) == (None, ReservedKey)


@pytest.mark.difference("a prefix for ``new_channel`` that makes no valid name")
def test_a_prefix_of_a_new_channel_that_makes_no_name(both):
    stock, ours = both(lambda layer: outcome(layer.new_channel("a b"), 10))
    assert stock.startswith("a b.")
    assert ours is InvalidName


# Different


@pytest.mark.difference("errors about names and messages", "a single-reader name such as ``answers?x``")
def test_names(both):
    async def scenario(layer):
        return [
            await outcome(layer.send(name, {}), 10) for name in ("a b", "x" * 100, "a!b!c", "answers?x", "x" * 99)
        ]

    stock, ours = both(scenario)
    assert stock == [TypeError, TypeError, TypeError, TypeError, None]
    assert ours == [InvalidName, InvalidName, InvalidName, None, None]
    assert issubclass(InvalidName, TypeError)


@pytest.mark.difference("``ChannelFull``")
def test_a_full_channel(both):
    async def scenario(layer):
        await layer.send("work", {})
        try:
            await layer.send("work", {})
        except channels.exceptions.ChannelFull as error:
            return str(error)

    assert both(scenario, capacity=1) == ("", "channel work holds 1 messages, its capacity")


@pytest.mark.difference("capacity under load")
def test_the_capacity_under_load(both):
    async def scenario(layer):
        sent = await asyncio.gather(*[layer.send("work", {}) for _ in range(50)], return_exceptions=True)
        return sent.count(None)

    stock, ours = both(scenario, capacity=5)
    assert stock > ours == 5


@pytest.mark.difference("capacity on several hosts")
def test_the_capacity_on_several_hosts(both_on_three):
    async def scenario(layer):
        return [await outcome(layer.send("work", {}), 10) for _ in range(20)].count(None)

    assert both_on_three(scenario, capacity=5) == (15, 5)


@pytest.mark.difference("a message that has expired, behind which newer ones came")
def test_an_expired_message_behind_which_a_newer_one_came(both):
    async def scenario(layer):
        await layer.send("work", {"number": 1})
        key = f"{layer.prefix}work"
        (entry,) = both.client.zrange(key, 0, -1)
        both.client.zadd(key, {entry: time.time() - 59.5})
        await layer.send("work", {"number": 2})
        both.client.zadd(key, {entry: time.time() - 61})
        return await outcome(layer.receive("work"), 5)

    assert both(scenario) == ({"number": 1}, {"number": 2})


@pytest.mark.difference("``expiry`` with a fraction", "``group_expiry`` with a fraction")
def test_fractions_of_seconds(both):
    async def scenario(layer):
        await layer.send("work", {"number": 1})
        return await outcome(layer.receive("work")), await outcome(layer.group_add("chat", "desk"), 10)

    assert both(scenario, expiry=0.9, group_expiry=0.9) == ((NOTHING, redis.ResponseError), ({"number": 1}, None))


@pytest.mark.difference("``group_send``")
def test_what_a_group_send_returns(both):
    async def scenario(layer):
        await layer.group_add("chat", "desk")
        return [await layer.group_send("chat", {}) for _ in range(2)]

    assert both(scenario, capacity=1) == ([None, None], [0, 1])


@pytest.mark.difference("an entry that cannot be decoded or decrypted")
def test_an_entry_that_cannot_be_decoded(both):
    async def scenario(layer):
        both.client.zadd(f"{layer.prefix}work", {b"garbage": time.time() - 1})
        await layer.send("work", {"number": 1})
        return await outcome(layer.receive("work"), 5)

    assert both(scenario) == (ValueError, {"number": 1})


@pytest.mark.difference("a key of another type in the place of a queue")
def test_a_key_of_another_type(both):
    async def scenario(layer):
        both.client.set(f"{layer.prefix}work", "text", ex=60)
        return await outcome(layer.receive("work")), await outcome(layer.send("work", {}), 10)

    assert both(scenario) == ((redis.ResponseError, redis.ResponseError), (NOTHING, redis.ResponseError))


@pytest.mark.difference("a direct message to a process-local channel, with several hosts")
def test_a_direct_message_on_several_hosts(both_on_three):
    async def scenario(layer):
        own = [await layer.new_channel() for _ in range(12)]
        for name in own:
            await layer.send(name, {})
        return [await outcome(layer.receive(name), 0.2) for name in own].count({})

    stock, ours = both_on_three(scenario)
    assert stock < ours == 12


@pytest.mark.difference("messages for a process-local channel that nothing receives from")
def test_messages_that_no_coroutine_receives(both):
    async def scenario(layer):
        own, other = await layer.new_channel(), await layer.new_channel()
        for number in range(5):
            await layer.send(own, {"number": number})
            await layer.send(other, {})
            await layer.receive(other)  # takes what is before it from Redis
        received = [await outcome(layer.receive(own), 0.2) for _ in range(5)]
        return [message["number"] for message in received if message != NOTHING]

    assert both(scenario, channel_capacity={"specific.*": 2}) == ([0, 1, 2, 3, 4], [3, 4])


@pytest.mark.difference("membership of a process that was killed")
def test_the_membership_of_a_process_that_does_not_renew_it(both):
    async def scenario(layer):
        own = await layer.new_channel()
        await layer.group_add("chat", own)
        joined = both.client.zscore(f"{layer.prefix}:group:chat", own)
        return round(time.time() - joined, -2)

    assert both(scenario) == (0, 86400 - 300)


@pytest.mark.difference("``flush``")
def test_flush(both):
    async def scenario(layer):
        foreign = f"{layer.prefix}2:group:chat"
        both.client.set(foreign, 1, ex=60)
        await layer.send("work", {})
        await layer.flush()
        return both.client.exists(f"{layer.prefix}work", foreign)

    assert both(scenario) == (0, 1)


@pytest.mark.difference("errors about names and messages")
def test_a_channel_of_another_process(both):
    assert both(lambda layer: outcome(layer.receive("specific.0!1"))) == (AssertionError, InvalidName)


@pytest.mark.difference(
    "``connection(index)``, ``create_pool``, ``hosts``, ``consistent_hash``, ``ring_size``",
    "``receive_single``, ``receive_buffer``, ``receive_count``, ``receive_lock`` and other parts of ``receive``",
    "``brpop_timeout``",
    "``wait_received``",
    "``channel_name_regex``, ``group_name_regex``, ``invalid_name_error``",
)
def test_what_is_absent(both):
    stock = {name for name in dir(core.RedisChannelLayer(hosts=both.urls)) if not name.startswith("_")}
    ours = set(dir(aio.RedisChannelLayer(hosts=both.urls)))
    assert stock - ours == {
        *{"connection", "create_pool", "hosts", "consistent_hash", "ring_size", "brpop_timeout", "wait_received"},
        *{"receive_buffer", "receive_clean_locks", "receive_cleaners", "receive_count", "receive_event_loop"},
        *{"receive_lock", "receive_single", "channel_name_regex", "group_name_regex", "invalid_name_error"},
    }
