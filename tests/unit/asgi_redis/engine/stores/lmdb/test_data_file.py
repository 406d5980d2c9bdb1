"""A store's memory is bounded, reading goes on when it is used up, and nothing lingers."""

from __future__ import annotations

import random
import time

import pytest

from asgi_redis.engine.stores.lmdb import statistics
from asgi_redis.engine.stores.lmdb.store import LMDBStore
from asgi_redis.engine.stores.store import KEPT_SECONDS, Counters
from asgi_redis.exceptions import ChannelFull
from tests.support.stores.lmdb_stores import pop, push, waiting

MIB = 1 << 20


def queues_of(store):
    return [key for key, _, _ in store.transact(lambda environment, txn, now: list(statistics.states(txn)))]


@pytest.fixture
def small(directory):
    store = LMDBStore(directory, 2 * MIB)
    yield store
    store.close()


def fill(store, size):
    """Sends messages of ``size`` bytes until one is refused; returns how many there are."""
    count = 0
    while push(store, b"x" * size, queue=f"q{count % 7}", capacity=10**9)[0]:
        count += 1
    return count


class TestFull:
    @pytest.mark.parametrize("size", [10, 100, 1500, 3000, 25_000, 300_000])
    def test_it_takes_no_more_than_it_may_and_can_always_be_read(self, small, size):
        sent = fill(small, size)
        assert sent * size < 2 * MIB
        assert sent * (size + 200) > MIB * 0.6
        assert push(small, b"x" * size, queue="new") == [None]
        assert small.contents()[2] <= 2 * (2 * MIB + MIB)
        received = 0
        while True:
            messages = pop(small, *[f"q{number}" for number in range(7)], limit=random.choice([1, 10, 1000]))
            if not messages:
                break
            received += len(messages)
        assert received == sent
        assert fill(small, size) > sent * 0.5  # LMDB leaves pages half full

    def test_it_stays_usable_however_often_it_is_filled_with_messages_of_all_sizes(self, small):
        """Long messages need pages in a row; what short ones leave is in pieces."""
        random.seed(1)
        waiting = 0
        for _ in range(3000):
            size = random.choice([10, 100, 3000, 20_000, 200_000])
            waiting += bool(push(small, b"x" * size, queue=f"q{random.randrange(7)}", capacity=10**9)[0])
            if random.random() < 0.4:
                waiting -= len(pop(small, f"q{random.randrange(7)}", limit=2))
        while waiting:
            waiting -= len(pop(small, *[f"q{number}" for number in range(7)]))
        assert push(small, b"x" * 500_000) == [True]

    def test_expired_messages_make_room(self, small, clock):
        while push(small, b"x" * 1000, queue="old", capacity=10**9)[0]:
            pass
        clock.now += 61
        deadline = time.monotonic() + 5
        while not push(small, b"x" * 1000, queue="new")[0]:
            assert time.monotonic() < deadline

    @pytest.mark.parametrize("queue", ["reply?{:020}", "reply.{:020}"])
    def test_there_is_room_as_long_as_there_is_no_message(self, small, queue):
        """However many channels have been used once."""
        for number in range(25_000):
            name = queue.format(number * 7919 % 25_000)
            assert push(small, b"x", queue=name) == [True]
            assert pop(small, name, limit=1) == [b"x"]
        assert push(small, b"x" * MIB) == [True]
        assert small.global_statistics() == Counters(25_001)

    def test_a_push_to_many_is_cut_where_the_memory_ends(self, small):
        pushed = small.push([(f"q{number}", f"q{number}", b"x" * 10_000, 10) for number in range(1000)], 60)
        assert 50 < pushed.count(True) < 210
        assert pushed.count(None) == 1000 - pushed.count(True)  # not for the queues' capacity
        assert len(pop(small, *[f"q{number}" for number in range(1000)], limit=2000)) == pushed.count(True)

    def test_group_members_are_bounded_too(self, small):
        def add_for_ever():
            for number in range(10**6):
                small.group_add("g", f"channel{number}", 60)

        with pytest.raises(ChannelFull, match="has used up its 2097152 bytes"):
            add_for_ever()
        assert len(small.group_channels("g", 60)) > 5000

    def test_processes_are_seen_while_it_is_full(self, small):
        """Their reports take a bounded number of pages, however often they come."""
        fill(small, 1000)
        sizes = []
        for number in range(300):
            small.report(f"host.{number % 5}", b"x" * (40_000 + number))
            small.count("a", "messages_retried", 1)
            sizes.append(small.contents()[2])
        assert sizes[-1] == sizes[100] <= 2 * 2 * MIB + 2 * MIB
        assert sorted(len(report) for _, _, report in small.reports()) == [40_295, 40_296, 40_297, 40_298, 40_299]
        assert small.channel_statistics("a", 60).counters.retried == 300
        assert push(small, b"x" * 1000) == [None]
        assert len(pop(small, *[f"q{number}" for number in range(7)], limit=500)) == 500
        assert push(small, b"x" * 1000) == [True]

    def test_it_can_be_flushed(self, small):
        fill(small, 100)
        small.flush()
        assert fill(small, 100) > 5000


class TestLingering:
    def test_unread_records_are_removed_by_writers(self, store, eventually, clock):
        for number in range(300):
            push(store, b"x" * 100, b"y", queue=f"lost{number}")
            store.group_add(f"group{number}", "member", 60)
        clock.now += 61

        def gone():
            push(store, b"x", queue="live", capacity=10)
            messages, groups, _ = store.contents()
            return messages <= 10 and groups == 0

        eventually(gone)

    def test_the_record_of_an_empty_queue_goes_with_its_counters(self, store, eventually, clock):
        for number in range(100):
            push(store, b"x", queue=f"reply{number}")
            pop(store, f"reply{number}")
        clock.now += KEPT_SECONDS + 1

        def gone():
            push(store, b"x", queue="live", capacity=1)
            return len(queues_of(store)) == 1

        eventually(gone)
        assert store.global_statistics()[0] > 100

    def test_a_single_reader_channel_that_was_read_leaves_nothing(self, store):
        before = store.transact(lambda _, txn, now: txn.stat()["entries"])
        for number in range(100):
            push(store, b"x", b"y", queue=f"reply?{number}")
            pop(store, f"reply?{number}")
        assert queues_of(store) == []
        assert store.transact(lambda _, txn, now: txn.stat()["entries"]) == before + 1  # the counters of all
        assert store.global_statistics() == Counters(200)

    def test_the_counters_of_a_single_reader_unread_channel_go_with_its_messages(self, store, eventually, clock):
        for number in range(100):
            push(store, b"x", queue=f"reply?{number}")
        clock.now += 61

        def gone():
            push(store, b"x", queue="live", capacity=1)
            return len(queues_of(store)) == 1

        eventually(gone)
        assert store.global_statistics().expired == 100

    def test_a_queue_that_a_receiver_waits_for_stays(self, store, eventually, clock):
        with waiting(store, "waited for"):
            push(store, b"x", queue="other")
            pop(store, "other")
            clock.now += KEPT_SECONDS + 1

            def gone():
                push(store, b"x", queue="live", capacity=1)
                return len(queues_of(store)) == 2

            eventually(gone)
            assert b"cwaited for\0" in queues_of(store)
