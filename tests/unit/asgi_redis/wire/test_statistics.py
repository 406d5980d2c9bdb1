"""The operations that read counters, as bytes, and the reading of their replies."""

from __future__ import annotations

import pytest
import redis

from asgi_redis.wire import Keys, StatisticsOperations, scripts
from asgi_redis.wire.message import COUNTERS, statistics_of
from asgi_redis.wire.statistics import added_up, channel_added_up
from tests.support.resp import commands, named, script_call

KEYS = Keys("p:", "s:")


@pytest.fixture
def operations():
    return StatisticsOperations(KEYS, 60)


def test_channel_statistics_read_with_the_age_in_seconds(operations):
    operation = operations.of_channel(b"work")
    assert named(scripts.CHANNEL_STATISTICS, script_call(*commands(operation.packed))) == {
        "queue": b"p:work",
        "channel_counters": b"s:work",
        "expiry": b"60",
    }
    assert operation.read([3, 2500000, 4, 1, 7, 5, 6, 8]) == {
        **statistics_of([4, 1, 7, 5, 6, 8]),
        "messages_pending": 3,
        "messages_max_age": 2.5,
    }


def test_global_statistics_of_a_redis_without_any_are_zero(operations):
    operation = operations.of_all()
    assert commands(operation.packed) == [[b"HMGET", KEYS.global_counters, *map(str.encode, COUNTERS)]]
    assert operation.read([None] * 6) == dict.fromkeys(COUNTERS, 0)
    assert operation.read([b"12", b"3", b"4", None, b"0", b"1"]) == statistics_of([12, 3, 4, 0, 0, 1])


def test_counts_are_added_to_those_of_their_channels_and_of_all(operations):
    operation = operations.add(
        {b"work": {"messages_expired": 3, "messages_retried": 1}, b"": {"messages_expired": 2}}
    )
    sha, keys, arguments = script_call(*commands(operation.packed))
    assert sha == scripts.ADD_COUNTS.sha
    assert keys == [b"s:work", KEYS.global_counters]
    fields = b"1 messages_expired 3 1 messages_retried 1 2 messages_expired 5 2 messages_retried 1"
    assert arguments == [b"3600", b"86400", *fields.split()]


def test_shards_are_added_up_but_for_the_age(operations):
    one = {**statistics_of([1, 2, 3, 4, 5, 6]), "messages_pending": 7, "messages_max_age": 8.0}
    other = {**statistics_of([10, 20, 30, 40, 50, 60]), "messages_pending": 70, "messages_max_age": 4.0}
    total = statistics_of([11, 22, 33, 44, 55, 66])
    assert channel_added_up([one, other]) == {**total, "messages_pending": 77, "messages_max_age": 8.0}
    assert added_up([one, other]) == total


def test_every_counter_is_read_under_its_name(layer_for, redis_server):
    layer = layer_for(redis_server)
    numbers = {name: 10 + number for number, name in enumerate(COUNTERS)}
    with redis.Redis(port=redis_server.port, protocol=2) as client:
        for key in ("c", "#global#"):
            client.hset(f"{layer.prefix}-meta:{key}", mapping=numbers)
    assert layer.global_statistics() == numbers
    assert layer.channel_statistics("c") == {**numbers, "messages_pending": 0, "messages_max_age": 0}
