"""The cache that is bounded by bytes."""

from __future__ import annotations

from asgi_redis.sized_cache import SizedCache


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
    cache = SizedCache(100, most=2)
    for number in range(3):
        cache.put(number, number, 1)
    assert [cache.get(number) for number in range(3)] == [None, 1, 2]


def test_one_that_is_too_large_is_not_kept_and_drops_no_others():
    cache = SizedCache(100)
    cache.put("small", 1, 10)
    cache.put("large", 2, 101)
    assert (cache.get("small"), cache.get("large")) == (1, None)
