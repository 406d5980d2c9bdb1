"""Half of the servers on stock channels_redis, half on this package, on one Redis: each message arrives once."""

from __future__ import annotations

import pytest

pytest.importorskip("channels_redis")

from tests.support.mixed.fleet import Fleet

pytestmark = pytest.mark.native("event loops in native threads")

KINDS = ("stock", "stock", "aio", "aio", "sync", "sync")

# Of channels_redis one reader for each normal channel: several of them double messages among themselves.
NORMAL = {
    "for one of stock": [0],
    "for all of ours": [2, 3, 4, 5],
    "for one of stock and all of ours": [1, 2, 3, 4, 5],
}
NORMAL = {name.replace(" ", "-"): readers for name, readers in NORMAL.items()}


def assert_each_arrives_once(fleet, arrived):
    expected = fleet.expected
    lost, doubled = expected - arrived, arrived - expected
    assert list(lost)[:5] == [], f"{sum(lost.values())} of {len(expected)} lost"
    assert list(doubled)[:5] == [], f"{sum(doubled.values())} of {len(expected)} doubled"


def test_groups_process_local_and_normal_channels(redis_server, prefix):
    fleet = Fleet(KINDS, NORMAL, rounds=8)
    arrived = fleet.run(redis_server.url, prefix)
    assert_each_arrives_once(fleet, arrived)


@pytest.mark.soak
@pytest.mark.timeout(600)
@pytest.mark.parametrize("settings", [{}, {"symmetric_encryption_keys": ["a key"], "serializer_format": "json"}])
def test_hundreds_of_thousands_of_messages(redis_server, prefix, settings):
    fleet = Fleet(KINDS, NORMAL, rounds=100)
    arrived = fleet.run(redis_server.url, prefix, **settings)
    assert_each_arrives_once(fleet, arrived)
