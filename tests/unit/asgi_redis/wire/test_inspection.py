"""Which keys are queues and groups, and the operations that look at them."""

from __future__ import annotations

import pytest

from asgi_redis.wire import Keys
from asgi_redis.wire.inspection import KeyReader, clock, sizes
from asgi_redis.wire.shards import keys_of_shards

KEYS = Keys("asgi", "asgi-meta:")


@pytest.mark.parametrize("name", ["work", "http.request", "one?x", "specific.1f2e!", "-_.9"])
def test_a_queue_is_known_by_its_key(name):
    assert KeyReader({0: KEYS}).read(KEYS.queue(name.encode())) == (0, name, False)


def test_a_group_is_known_by_its_key():
    assert KeyReader({0: KEYS}).read(KEYS.group("chat.1")) == (0, "chat.1", True)


@pytest.mark.parametrize("name", ["work", "specific.1f2e!"])
def test_counters_stand_for_their_queue(name):
    assert KeyReader({0: KEYS}).read(KEYS.counters(name.encode())) == (0, name, False)
    apart = Keys("asgi", "apart:")
    assert KeyReader({0: apart}).read(apart.counters(name.encode())) == (0, name, False)


@pytest.mark.parametrize(
    "key",
    [
        KEYS.delayed,
        KEYS.waiting_queues,
        KEYS.waiting(b"work"),
        KEYS.sent("sender"),
        KEYS.wake(b"name"),
        KEYS.ledger("process"),
        KEYS.counters(b"one?x"),
        KEYS.global_counters,
        KEYS.shards,
        b"asgi:process:one",
        b"asgi:processes",
        b"asgi",
        b"asgiwork$inflight",
        b"asgip!x",  # its queue has the name p!
        b"asgione?",
        b"asgi:group:a!b",
        b"asgi2:group:chat",
        b"asgi" + b"x" * 100,
        b"asgi\xff",
        b"other",
    ],
)
def test_other_keys_are_no_queues_and_no_groups(key):
    assert KeyReader({0: KEYS}).read(key) is None


def test_a_layer_whose_prefix_begins_alike_cannot_be_told_apart():
    assert KeyReader({0: KEYS}).read(Keys("asgi2", "asgi2-meta:").queue(b"work")) == (0, "2work", False)


def test_the_keys_of_the_shards_on_one_node_have_one_pattern():
    keys = dict(enumerate(keys_of_shards("a*", 12)))
    reader = KeyReader(keys)
    assert reader.patterns == [rb"{a\*:*"]
    assert reader.read(keys[1].queue(b"work")) == (1, "work", False)
    assert reader.read(keys[11].group("work")) == (11, "work", True)
    assert KeyReader({1: keys[1]}).read(keys[11].queue(b"work")) is None


def test_the_pattern_of_one_shard_has_its_whole_tag():
    assert KeyReader({3: keys_of_shards("asgi", 4)[3]}).patterns == [b"{asgi:3}*"]  # Redis 8 looks at its slot alone


def test_sizes_are_a_list_for_one_key_too():
    assert sizes([b"a"]).read(3) == [3]
    assert sizes([b"a", b"b"]).read([3, 0]) == [3, 0]


def test_the_clock_has_microseconds():
    assert clock().read([b"1700000000", b"250000"]) == 1700000000.25
