"""The LMDB store keeps the promises of a store; the other files test its special ones."""

from __future__ import annotations

import gc
import weakref

import pytest

from asgi_redis.engine.stores.lmdb import directory as places
from asgi_redis.engine.stores.lmdb import groups, messages, statistics
from asgi_redis.engine.stores.lmdb.store import LMDBStore
from asgi_redis.engine.stores.store import KEPT_SECONDS, TOTAL_KEPT_SECONDS, Counters
from tests.support.stores.lmdb_stores import pop, push
from tests.support.threads import in_threads


class TestQueues:
    def test_messages_come_in_their_order(self, store):
        push(store, b"1", b"2")
        push(store, b"3")
        assert pop(store) == [b"1", b"2", b"3"]
        assert pop(store) == []

    def test_the_full_channel_comes_back(self, store):
        store.push([("own!", "own!one", b"1", 10), ("own!", "own!", b"2", 10)], 60)
        assert store.pop(["own!"], 2, 60) == [("own!", "own!one", b"1"), ("own!", "own!", b"2")]

    @pytest.mark.parametrize("size", [0, 1, 2000, 5000, 1 << 20])
    def test_messages_of_any_size(self, store, size):
        message = bytes(range(256)) * (size // 256 + 1)
        assert push(store, message[:size]) == [True]
        assert pop(store) == [message[:size]]

    def test_queues_whose_names_begin_alike_are_apart(self, store):
        for queue in ("a", "a!", "a?", "ab", "a.b"):
            push(store, queue.encode(), queue=queue)
        for queue in ("ab", "a?", "a", "a.b", "a!"):
            assert pop(store, queue) == [queue.encode()]

    def test_one_of_each_queue_in_turn(self, store):
        push(store, b"a1", b"a2", b"a3")
        push(store, b"b1", queue="b")
        push(store, b"c1", b"c2", queue="c")
        assert pop(store, "b", "a", "none", "c", limit=5) == [b"b1", b"a1", b"c1", b"a2", b"c2"]
        assert pop(store) == [b"a3"]

    def test_no_more_of_a_queue_than_is_asked_for(self, store):
        push(store, b"a1", b"a2", b"a3")
        push(store, b"b1", b"b2", queue="b")
        assert pop(store, "a", "b", limit=10, limits={"a": 1}) == [b"a1", b"b1", b"b2"]
        assert pop(store, "a", limit=1, limits={"a": 1}) == [b"a2"]
        push(store, b"a4", b"a5", b"a6", b"a7")
        push(store, b"b3", b"b4", queue="b")
        assert pop(store, "a", limit=10, limits={"a": 2}) == [b"a3", b"a4"]
        assert pop(store, "a", "b", limit=10, limits={"a": 2}) == [b"a5", b"b3", b"a6", b"b4"]

    def test_the_step_for_many_queues_is_one(self, store):
        pushed = store.push([(f"q{number}", f"q{number}", b"x", 1) for number in range(1000)], 60)
        assert pushed == [True] * 1000
        assert len(store.pop([f"q{number}" for number in range(1000)], 2000, 60)) == 1000

    def test_threads_lose_nothing_and_double_nothing(self, store):
        received = []

        def work(number):
            for count in range(200):
                push(store, f"{number}:{count}".encode(), capacity=10_000)
                received.extend(pop(store, limit=2))

        in_threads(work, range(4))
        received.extend(pop(store))
        assert sorted(received) == sorted(f"{number}:{count}".encode() for number in range(4) for count in range(200))


class TestCapacity:
    def test_a_queue_takes_as_many_as_its_capacity(self, store):
        assert push(store, b"1", b"2", b"3", capacity=2) == [True, True, False]
        assert pop(store, limit=1) == [b"1"]
        assert push(store, b"4", b"5", capacity=2) == [True, False]
        assert pop(store) == [b"2", b"4"]

    def test_expired_messages_do_not_count(self, store, clock):
        push(store, b"1", capacity=2)
        clock.now += 40
        push(store, b"2", capacity=2)
        assert push(store, b"3", capacity=2) == [False]
        clock.now += 21
        assert push(store, b"4", b"5", capacity=2) == [True, False]
        assert pop(store) == [b"2", b"4"]


class TestExpiry:
    def test_an_expired_message_is_never_taken(self, store, clock):
        push(store, b"1", b"2")
        clock.now += 59.999
        push(store, b"new")
        assert pop(store, limit=1) == [b"1"]
        clock.now += 0.002
        assert pop(store) == [b"new"]

    def test_it_expires_to_the_instant(self, store, clock):
        """Exactly as old as ``expiry`` is not expired: where it is taken, counted, swept and dropped for room."""
        clock.now = 1000.0
        push(store, b"1", b"2", expiry=0.25, capacity=2)
        store.group_add("g", "a", 0.25)
        clock.now += 0.25
        assert push(store, b"3", expiry=0.25, capacity=2) == [False]
        assert store.channel_statistics("a", 0.25).pending == 2
        assert store.group_channels("g", 0.25) == ["a"]
        assert pop(store, limit=1, expiry=0.25) == [b"1"]
        clock.now += 0.0001
        assert store.channel_statistics("a", 0.25).pending == 0
        assert store.group_channels("g", 0.25) == []
        assert pop(store, expiry=0.25) == []

    def test_a_queue_of_many_expired_messages_hides_none_behind_them(self, store, clock):
        for _ in range(20):
            push(store, *[b"old"] * 100, capacity=10_000)
        clock.now += 61
        push(store, b"new", capacity=10_000)
        assert pop(store, limit=1) == [b"new"]
        assert pop(store) == []
        assert store.channel_statistics("a", 60).counters.expired == 2000

    def test_many_expired_messages_are_passed_over_in_short_steps(self, store, clock, monkeypatch):
        """Others get their turn in between."""
        monkeypatch.setattr(messages, "_PURGED_AT_ONCE", 10)
        push(store, *[b"old"] * 25)
        clock.now += 61
        steps, transact = [], store.transact
        monkeypatch.setattr(store, "transact", lambda *arguments: steps.append(1) or transact(*arguments))
        assert pop(store) == []
        assert len(steps) == 3


class TestGroups:
    def test_members_come_and_go(self, store):
        store.group_add("g", "a", 60)
        store.group_add("g", "b!c", 60)
        store.group_add("gg", "other", 60)
        assert store.group_channels("g", 60) == ["a", "b!c"]
        store.group_discard("g", "a")
        store.group_discard("g", "never there")
        assert store.group_channels("g", 60) == ["b!c"]
        assert store.group_channels("none", 60) == []

    def test_membership_expires_unless_it_is_renewed(self, store, clock):
        store.group_add("g", "a", 60)
        store.group_add("g", "b", 60)
        clock.now += 61
        store.group_add("g", "b", 60)
        assert store.group_channels("g", 60) == ["b"]

    def test_members_that_were_added_before_that_time_are_left_out(self, store, clock):
        """Also where they are kept longer, by the setting of another process."""
        store.group_add("g", "a", 3600)
        clock.now += 61
        store.group_add("g", "b", 3600)
        assert store.group_channels("g", 60) == ["b"]
        assert store.group_channels("g", 3600) == ["a", "b"]

    def test_a_member_may_have_the_name_that_its_key_begins_with(self, store):
        names = ["groom", "g", "room", "x.groom"]
        for group in ("room", "roo", "rooms"):
            for name in names:
                store.group_add(group, name, 60)
        assert store.group_channels("room", 60) == sorted(names)

    def test_a_large_group_is_read_in_pieces(self, store, monkeypatch):
        """Others get their turn in between."""
        monkeypatch.setattr(groups, "_READ_AT_ONCE", 10)
        names = [f"reply?{number:02}" for number in range(25)]
        for name in names:
            store.group_add("g", name, 60)
            store.group_add("g2", name, 60)
        steps, transact = [], store.transact
        monkeypatch.setattr(store, "transact", lambda *arguments: steps.append(1) or transact(*arguments))
        assert store.group_channels("g", 60) == names
        assert len(steps) == 3
        monkeypatch.setattr(groups, "_READ_AT_ONCE", 25)
        assert store.group_channels("g", 60) == names


class TestStatistics:
    def test_pending_messages_and_counters(self, store):
        push(store, b"1", b"2", b"3", capacity=2)
        pop(store, limit=1)
        counted = store.channel_statistics("a", 60)
        assert counted[:-1] == (Counters(2, 1), 1)
        assert store.contents()[0] == 1
        assert 0 < counted.oldest < 10
        push(store, b"1", queue="b")
        assert store.global_statistics() == Counters(3, 1)
        assert store.channel_statistics("unknown", 60) == (Counters(), 0, 0.0)

    def test_expired_messages_do_not_wait(self, store, clock):
        push(store, *[b"old"] * 9)
        clock.now += 61
        push(store, b"new")
        clock.now += 2
        counted = store.channel_statistics("a", 60)
        assert (counted.counters.expired, counted.pending, counted.oldest) == (9, 1, 2)

    @pytest.mark.parametrize(
        "found", [pop, lambda store: push(store, b"new", capacity=5), lambda store: push(store, b"x", queue="swept")]
    )
    def test_expired_messages_are_counted_wherever_they_are_found(self, store, clock, found):
        push(store, *[b"old"] * 5, expiry=60)
        clock.now += 61
        found(store)
        assert store.channel_statistics("a", 60).counters.expired == 5
        assert store.global_statistics().expired == 5

    def test_the_counters_of_a_queue_last_an_hour(self, store, clock):
        push(store, b"1", b"2", expiry=TOTAL_KEPT_SECONDS)
        clock.now += KEPT_SECONDS + 1
        assert store.channel_statistics("a", TOTAL_KEPT_SECONDS)[:2] == (Counters(), 2)
        assert store.global_statistics() == Counters(2)
        push(store, b"3", expiry=TOTAL_KEPT_SECONDS)
        assert store.channel_statistics("a", TOTAL_KEPT_SECONDS)[:2] == (Counters(1), 3)
        assert store.global_statistics() == Counters(3)

    def test_those_of_all_last_a_day_without_a_message(self, store, clock):
        push(store, b"1", b"2")
        clock.now += TOTAL_KEPT_SECONDS + 1
        assert store.global_statistics() == Counters()
        push(store, b"3", queue="b")
        assert store.global_statistics()[:2] == (1, 0)


class TestClosing:
    def test_one_that_is_used_again_keeps_nothing_of_before(self, store):
        before = []
        for _ in range(3):
            push(store, b"1")
            before.append(weakref.ref(store.environment()))
            store.close()
        gc.collect()
        assert [environment() for environment in before] == [None] * 3

    def test_one_that_begins_after_the_removal_makes_it_anew(self, store, directory):
        """Also where it asks for more than the one before it in this process, which has not noticed yet."""
        small = LMDBStore(directory, 1 << 20)
        push(small, b"old")
        with places.locked(directory):
            places.remove(directory)
        push(store, b"new")
        assert pop(small) == [b"new"]
        small.close()


class TestFlush:
    def test_nothing_stays(self, store):
        push(store, *[b"x" * 1000] * 500)
        push(store, b"1", b"2", queue="b", capacity=1)
        store.group_add("g", "a", 60)
        store.flush()
        assert pop(store, "a", "b") == []
        assert store.group_channels("g", 60) == []
        assert store.global_statistics() == Counters()
        assert store.transact(lambda environment, txn, now: list(statistics.states(txn))) == []
        push(store, b"again")
        assert pop(store) == [b"again"]
