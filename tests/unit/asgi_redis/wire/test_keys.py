"""The keys are those of channels_redis, and so are the shards."""

from __future__ import annotations

import fnmatch

import pytest

from asgi_redis.exceptions import ConfigurationError
from asgi_redis.wire import Keys, shard_of


@pytest.fixture
def keys():
    return Keys("asgi", "asgi-meta:")


def test_prefix_and_channel_are_joined_with_nothing_between(keys):
    assert keys.queue(b"specific.1f2e!") == b"asgispecific.1f2e!"


def test_a_queue_key_reads_back_as_the_name_of_the_queue(keys):
    assert keys.queue_name(keys.queue(b"specific.1f2e!")) == b"specific.1f2e!"


def test_a_group_key_has_group_between_colons(keys):
    assert keys.group("chat") == b"asgi:group:chat"


def test_counters_are_under_the_stats_prefix(keys):
    assert keys.counters(b"work") == b"asgi-meta:work"
    assert keys.global_counters.startswith(b"asgi-meta:")


def test_no_channel_can_have_the_key_of_the_global_counters(keys):
    assert not set(keys.global_counters[len(b"asgi-meta:") :].decode()).issubset(
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.!?"
    )


def test_a_prefix_may_hold_any_character():
    assert Keys("été:", "s").queue_name("été:a".encode()) == b"a"


@pytest.mark.parametrize(("prefix", "stats_prefix"), [(b"asgi", "s"), ("asgi", None)])
def test_a_prefix_that_is_not_a_str_is_refused(prefix, stats_prefix):
    with pytest.raises(ConfigurationError, match="must be a str"):
        Keys(prefix, stats_prefix)


@pytest.mark.parametrize(
    ("prefix", "stats_prefix"),
    [
        ("asgi", "asgi"),
        ("asgi", "asgi."),  # "asgi.x" would be the queue of ".x" and the counters of "x"
        ("site", "site-stats."),
        ("asgi", "asgi?"),
        ("asgi-meta:x", "asgi-meta:"),
        ("site", "site:"),  # "site:delayed"
        ("site", "site:d"),
        ("site", "site:group:"),
        ("site", "site:group:stats."),
        ("site", "site:waiting:"),
    ],
)
def test_prefixes_that_would_make_equal_keys_are_refused(prefix, stats_prefix):
    with pytest.raises(ConfigurationError, match="equal keys"):
        Keys(prefix, stats_prefix)


@pytest.mark.parametrize(
    ("prefix", "stats_prefix"),
    [("asgi", "asgi-meta:"), ("asgi:", "asgi-meta:"), ("a", "b"), ("site", "site::"), ("site", "site:stats:")],
)
def test_prefixes_that_can_be_told_apart_are_taken(prefix, stats_prefix):
    Keys(prefix, stats_prefix)


@pytest.mark.parametrize(("prefix", "stats_prefix"), [("", "s"), ("asgi", "")])
def test_an_empty_prefix_is_refused(prefix, stats_prefix):
    with pytest.raises(ConfigurationError, match="empty"):
        Keys(prefix, stats_prefix)


OWN = (
    "asgiwork asgia.b! asgir?x asgiwork$inflight asgi:group:g asgi:joined:1f asgi:wake:1f asgi:sent:1f.2 "
    "asgi:delayed asgi:waiting asgi:waiting:p! asgi-meta:work asgi-meta:p! asgi-meta:#global#"
)
OTHERS = (
    "asgi asgi2:group:x asgi_sessions:1 asgi: asgi:group: asgi:group:a! asgi:other asgi:sent: asgi2:delayed "
    "asgi-meta: asgi-meta2:work asgi-meta:#global#2 other xasgiwork"
)


@pytest.mark.parametrize("key", OWN.split())
def test_a_key_that_the_layer_may_write_is_its_own(keys, key):
    assert keys.is_own(key.encode())


@pytest.mark.parametrize("key", [*OTHERS.split(), "asgi a", "asgia\n"])
def test_a_key_that_begins_as_one_and_goes_on_as_none_is_anothers(keys, key):
    assert not keys.is_own(key.encode())


def test_the_patterns_match_every_key_of_the_layer(keys):
    for key in (keys.queue(b"a!"), keys.group("g"), keys.counters(b"a"), keys.global_counters):
        assert any(fnmatch.fnmatchcase(key.decode(), pattern.decode()) for pattern in keys.patterns())


def test_glob_characters_in_a_prefix_stand_for_themselves():
    assert Keys("a*b?[c]\\", "s").patterns()[0] == rb"a\*b\?\[c\]\\*"


@pytest.mark.parametrize("shards", [1, 2, 3, 5, 7, 16])
@pytest.mark.parametrize("name", [b"chat", b"specific.0123456789abcdef!", b"reply?abcDEF", b""])
def test_the_shard_is_the_one_that_channels_redis_computes(name, shards):
    channels_redis = pytest.importorskip("channels_redis.core")
    layer = channels_redis.RedisChannelLayer(hosts=["redis://localhost:1"] * shards)
    assert shard_of(name, shards) == layer.consistent_hash(name.decode())


@pytest.mark.parametrize("shards", [3, 4096])
def test_so_it_is_for_a_thousand_names(shards):
    channels_redis = pytest.importorskip("channels_redis.core")
    layer = channels_redis.RedisChannelLayer(hosts=["redis://localhost:1"] * shards)
    names = [f"name{number}" for number in range(1000)]
    assert [shard_of(name.encode(), shards) for name in names] == [layer.consistent_hash(name) for name in names]


def test_every_shard_gets_its_share_of_the_names():
    found = [shard_of(b"name%d" % number, 3) for number in range(3000)]
    assert min(found.count(shard) for shard in range(3)) > 800
    assert set(found) == {0, 1, 2}
