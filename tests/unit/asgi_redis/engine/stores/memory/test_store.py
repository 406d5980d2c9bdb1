"""The store in memory. The conformance suite tests the promises of all layers."""

from __future__ import annotations

import select

import pytest

from asgi_redis.engine.stores.memory import counters
from asgi_redis.engine.stores.memory import store as module
from asgi_redis.engine.stores.memory.store import MemoryStore
from asgi_redis.engine.stores.store import KEPT_SECONDS, TOTAL_KEPT_SECONDS, Counters


class Clock:
    """Stands for ``time`` in the store's module."""

    def __init__(self):
        self.now = 10_000_000.0

    def monotonic(self):
        return self.now


@pytest.fixture
def clock(monkeypatch):
    clock = Clock()
    monkeypatch.setattr(module, "time", clock)
    return clock


@pytest.fixture
def store():
    return MemoryStore()


def push(store, *messages, queue="a", capacity=1000, expiry=60.0):
    return store.push([(queue, queue, message, capacity) for message in messages], expiry)


def pop(store, *queues, limit=1000, expiry=60.0, limits=None):
    return [message for _, _, message in store.pop(queues or ("a",), limit, expiry, limits)]


def readable(listener):
    return bool(select.select([listener.fileno()], [], [], 0)[0])


class TestQueues:
    def test_one_of_each_in_turn_of_the_first_first(self, store):
        push(store, b"a1", b"a2", b"a3")
        push(store, b"b1", queue="b")
        push(store, b"c1", b"c2", queue="c")
        assert pop(store, "b", "a", "none", "c", limit=5) == [b"b1", b"a1", b"c1", b"a2", b"c2"]
        assert pop(store) == [b"a3"]

    def test_no_more_of_one_than_is_asked_for(self, store):
        push(store, b"a1", b"a2", b"a3")
        push(store, b"b1", b"b2", queue="b")
        assert pop(store, "a", "b", limit=10, limits={"a": 1}) == [b"a1", b"b1", b"b2"]
        assert pop(store, "b", "a", limit=1, limits={"a": 1}) == [b"a2"]

    def test_the_full_channel_comes_with_the_message(self, store):
        store.push([("own!", "own!one", b"1", 10)], 60)
        assert store.pop(["own!"], 1, 60) == [("own!", "own!one", b"1")]

    def test_it_expires_to_the_instant(self, store, clock):
        push(store, b"1", b"2", expiry=0.25)
        clock.now += 0.25
        assert pop(store, limit=1, expiry=0.25) == [b"1"]
        clock.now += 0.0001
        assert pop(store, expiry=0.25) == []

    def test_a_full_one_drops_the_expired_first(self, store, clock):
        assert push(store, b"1", b"2", b"3", capacity=2) == [True, True, False]
        clock.now += 61
        assert push(store, b"4", b"5", b"6", capacity=2) == [True, True, False]
        assert pop(store) == [b"4", b"5"]


class TestMemoryUsed:
    """Expired messages and members are removed though they are never read."""

    def test_messages_that_are_never_read(self, store, clock):
        push(store, b"x")
        for number in range(500):
            push(store, b"x", queue=f"reply?{number}")
        clock.now += 61
        for _ in range(300):
            push(store, b"x")  # in use, and in front of the others
            clock.now += 0.02
        assert list(store._queues) == ["a"]

    def test_queues_that_were_read(self, store):
        for number in range(1000):
            push(store, b"x", queue=f"reply?{number}")
            pop(store, f"reply?{number}")
        assert not store._queues
        assert not store._counters.queues()
        assert store.global_statistics() == Counters(1000)

    def test_counters_that_are_an_hour_old(self, store, clock):
        for number in range(500):
            push(store, b"x", queue=f"reply.{number}")
        clock.now += KEPT_SECONDS + 1
        push(store, b"x")
        assert store._counters.queues() == ["a"]

    def test_counters_of_more_queues_than_anyone_has(self, store, monkeypatch):
        monkeypatch.setattr(counters, "_COUNTED", 100)
        for number in range(150):
            push(store, b"x", queue=f"reply.{number}")
        assert len(store._counters.queues()) == 100
        assert store.channel_statistics("reply.149", 60).counters.sent == 1

    def test_groups_that_are_never_sent_to(self, store, clock):
        store.group_add("g", "a", 60)  # in use, and in front of the others
        for number in range(500):
            store.group_add(f"g{number}", "a", 60)
        clock.now += 61
        for _ in range(300):
            store.group_add("g", "a", 60)
        assert store._groups.groups() == ["g"]

    def test_members_of_a_group_that_is_in_use(self, store, clock):
        store.group_add("g", "stays", 60)
        for number in range(500):
            store.group_add("g", f"m{number}", 60)
        clock.now += 59
        store.group_add("g", "stays", 60)
        clock.now += 2
        store.group_add("g", "new", 60)
        assert list(store._groups._groups["g"]) == ["stays", "new"]

    def test_groups_without_members(self, store):
        store.group_add("g", "a", 60)
        store.group_discard("g", "a")
        store.group_discard("none", "a")
        assert not store._groups.groups()

    def test_receivers_that_have_stopped_waiting(self, store):
        for number in range(10):
            with store.listen(["a", f"reply?{number}"]):
                pass
        assert not store._waiting.pipes
        assert len(store._waiting._idle) == 1


class TestStatistics:
    def test_the_counters_of_a_queue_last_an_hour(self, store, clock):
        push(store, b"1", b"2", b"3", capacity=2)
        clock.now += KEPT_SECONDS
        assert store.channel_statistics("a", 60) == (Counters(2, 1, 2), 0, 0.0)
        clock.now += 1
        assert store.channel_statistics("a", 60) == (Counters(), 0, 0.0)
        push(store, b"1")
        assert store.channel_statistics("a", 60) == (Counters(1), 1, 0.0)

    @pytest.mark.parametrize("found", [pop, lambda store: push(store, b"new", capacity=5)])
    def test_expired_messages_are_counted(self, store, clock, found):
        push(store, *[b"old"] * 5)
        clock.now += 61
        found(store)
        assert store.channel_statistics("a", 60).counters.expired == 5
        assert store.global_statistics().expired == 5

    def test_all_counters_last_a_day(self, store, clock):
        push(store, b"1", b"2", capacity=1)
        clock.now += TOTAL_KEPT_SECONDS
        assert store.global_statistics() == Counters(1, 1)
        clock.now += 1
        assert store.global_statistics() == Counters()
        push(store, b"1")
        assert store.global_statistics()[:2] == (1, 0)


class TestListening:
    def test_a_message_wakes_all_receivers_of_its_queue_and_no_other(self, store):
        with store.listen(["a", "b"]) as one, store.listen(["a"]) as two, store.listen(["b"]) as other:
            push(store, b"1")
            assert [readable(one), readable(two), readable(other)] == [True, True, False]
            assert [message for _, _, message in one.pop(["a", "b"], 1, 60)] == [b"1"]
            assert not readable(one)

    def test_messages_to_several_queues_wake_the_receivers_of_each(self, store):
        with store.listen(["a"]) as one, store.listen(["b"]) as two:
            store.push([("a", "a", b"1", 10), ("b", "b", b"2", 10)], 60)
            assert [readable(one), readable(two)] == [True, True]

    def test_wake_wakes_one(self, store):
        with store.listen(["a"]) as one, store.listen(["a"]) as other:
            one.wake()
            assert [readable(one), readable(other)] == [True, False]

    def test_the_next_one_starts_asleep(self, store):
        with store.listen(["a"]):
            push(store, b"1")
        with store.listen(["b"]) as listener:
            assert not readable(listener)

    def test_a_refused_message_wakes_no_receiver(self, store):
        push(store, b"1", capacity=1)
        with store.listen(["a"]) as listener:
            push(store, b"2", capacity=1)
            assert not readable(listener)
