"""The keys of shards that are hash tags, and the number of shards that processes have to agree on."""

from __future__ import annotations

import threading

import pytest
import redis
from redis.crc import key_slot

from asgi_redis.connection import Server, Shard, parse_hosts
from asgi_redis.exceptions import ConfigurationError
from asgi_redis.wire.shards import claim_shards, keys_of_shards, shard_tag


@pytest.fixture
def shard(redis_server):
    shard = Shard(Server(parse_hosts([redis_server.url])[0]))
    yield shard
    shard.drop_idle()


def test_all_keys_of_a_shard_are_in_the_slot_of_its_tag():
    for number, keys in enumerate(keys_of_shards("asgi", 20)):
        tag = shard_tag("asgi", number)
        made = [
            keys.queue(b"chat"),
            keys.queue(b"p!"),
            keys.group("room"),
            keys.counters(b"chat"),
            keys.global_counters,
            keys.delayed,
            keys.waiting(b"chat"),
            keys.waiting_queues,
            keys.ledger("process"),
            keys.sent("sender"),
            keys.wake(b"name"),
            keys.shards,
        ]
        assert {key_slot(key) for key in made} == {key_slot(tag.encode())}
        assert len(set(made)) == len(made)


def test_the_tag_takes_the_place_of_the_prefix():
    keys = keys_of_shards("asgi", 3)[2]
    assert keys.queue(b"chat") == b"{asgi:2}chat"
    assert keys.group("room") == b"{asgi:2}:group:room"
    assert keys.counters(b"chat") == b"{asgi:2}-meta:chat"


@pytest.mark.parametrize("prefix", ["", "a{b", "a}b", "{asgi}"])
def test_a_prefix_that_would_make_another_tag_is_refused(prefix):
    with pytest.raises(ConfigurationError, match="without braces"):
        keys_of_shards(prefix, 1)


def test_one_pattern_finds_the_keys_of_a_shard():
    (pattern,) = keys_of_shards("asgi", 1)[0].patterns()
    assert pattern == b"{asgi:0}*"


def test_flushing_leaves_the_number_of_shards(prefix):
    keys = keys_of_shards(prefix, 1)[0]
    assert keys.is_own(keys.queue(b"chat"))
    assert not keys.is_own(keys.shards)


def test_the_first_number_is_known_to_all_that_follow(shard, prefix):
    keys = keys_of_shards(prefix, 1)[0]
    assert shard.execute(claim_shards(keys, 4)) == 4
    assert shard.execute(claim_shards(keys, 5)) == 4
    assert shard.execute(claim_shards(keys, 4)) == 4


def test_only_the_known_number_renews_the_key(shard, prefix, redis_server):
    keys = keys_of_shards(prefix, 1)[0]
    with redis.Redis(port=redis_server.port, protocol=2) as client:
        shard.execute(claim_shards(keys, 4))
        assert 0 < client.ttl(keys.shards) <= 86400
        client.expire(keys.shards, 100)
        shard.execute(claim_shards(keys, 5))
        assert client.ttl(keys.shards) <= 100
        shard.execute(claim_shards(keys, 4))
        assert client.ttl(keys.shards) > 100


def test_of_two_that_start_at_once_one_is_told(shard, prefix):
    keys = keys_of_shards(prefix, 1)[0]
    found = {}
    barrier = threading.Barrier(2)

    def claim(number):
        barrier.wait()
        found[number] = shard.execute(claim_shards(keys, number))

    threads = [threading.Thread(target=claim, args=(number,)) for number in (4, 5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(found.values())) == 1
