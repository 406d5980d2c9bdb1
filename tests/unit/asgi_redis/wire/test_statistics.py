"""The operations that read counters, as bytes, and the reading of their replies."""

from __future__ import annotations

import pytest

from asgi_redis.wire import Keys, StatisticsOperations, scripts
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
    assert operation.read([4, 1, 7, 3, 2500000]) == (4, 1, 7, 3, 2.5)


def test_global_statistics_of_a_redis_without_any_are_zero(operations):
    operation = operations.of_all()
    fields = [b"messages_count", b"channel_full_count", b"messages_expired"]
    assert commands(operation.packed) == [[b"HMGET", KEYS.global_counters, *fields]]
    assert operation.read([None, None, None]) == (0, 0, 0)
    assert operation.read([b"12", b"3", b"4"]) == (12, 3, 4)
