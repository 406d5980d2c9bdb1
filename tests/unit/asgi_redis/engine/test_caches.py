"""The cache that is bounded by bytes."""

from __future__ import annotations

from asgi_redis.engine.caches import ChannelSets, SizedCache


def test_it_keeps_what_is_put_into_it():
    cache = SizedCache(100)
    assert cache.get("a") is None
    cache.put("a", 1, 10)
    assert cache.get("a") == 1
    cache.put("a", 2, 20)
    assert (cache.get("a"), len(cache)) == (2, 1)


def test_the_oldest_go_when_there_are_too_many_bytes():
    cache = SizedCache(100)
    for number in range(5):
        cache.put(number, number, 40)
    assert [cache.get(number) for number in range(5)] == [None, None, None, 3, 4]


def test_the_oldest_go_when_there_are_too_many():
    cache = SizedCache(100, limit=2)
    for number in range(3):
        cache.put(number, number, 1)
    assert [cache.get(number) for number in range(3)] == [None, 1, 2]


def test_one_that_is_too_large_is_not_kept_and_drops_no_others():
    cache = SizedCache(100)
    cache.put("small", 1, 10)
    cache.put("large", 2, 101)
    assert (cache.get("small"), cache.get("large")) == (1, None)


def test_what_is_made_of_a_set_of_channels_is_made_once():
    made = []
    sets = ChannelSets(lambda channels: made.append(channels) or list(channels))
    assert sets(("a", "b")) is sets(("a", "b"))
    assert sets(("b", "a")) == ["b", "a"]
    assert made == [("a", "b"), ("b", "a")]


def test_sets_are_bounded_by_the_bytes_of_their_names():
    sets = ChannelSets(list)
    for number in range(30):
        sets(tuple(f"{number}.{one}" for one in range(5000)))
    assert 10 < len(sets) < 25


def test_a_name_that_cannot_be_looked_up_is_left_to_what_is_made():
    assert ChannelSets(list)(([],)) == [[]]
