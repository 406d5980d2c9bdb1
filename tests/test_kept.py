"""What one entry of a queue brings for several readers waits here for the others."""

from __future__ import annotations

import pytest

from asgi_redis.kept import KeptMessages
from tests.threads import in_threads


@pytest.fixture
def kept():
    return KeptMessages()


@pytest.fixture
def clock(monkeypatch):
    """Seconds that have passed, to be moved by hand."""

    class Clock:
        now = 1000.0

        def monotonic(self):
            return self.now

    clock = Clock()
    monkeypatch.setattr("asgi_redis.kept.time", clock)
    return clock


def test_it_is_true_while_something_is_kept(kept):
    assert not kept
    kept.put("q!", ["q!x"], {}, 60)
    assert kept
    kept.take(["q!"], 1)
    assert not kept


def test_each_channel_gets_its_message_in_the_order_of_arrival(kept):
    kept.put("q!", ["q!x", "q!y"], {"n": 1}, 60)
    kept.put("q!", ["q!z"], {"n": 2}, 60)
    assert kept.take(["q!"], 10) == [("q!x", {"n": 1}), ("q!y", {"n": 1}), ("q!z", {"n": 2})]
    assert kept.take(["q!"], 10) == []


def test_no_more_than_the_limit_is_taken(kept):
    kept.put("q!", ["q!x", "q!y"], {}, 60)
    kept.put("r!", ["r!x"], {}, 60)
    assert [name for name, _ in kept.take(["q!", "r!"], 1)] == ["q!x"]
    assert [name for name, _ in kept.take(["q!", "r!"], 2)] == ["q!y", "r!x"]


@pytest.mark.parametrize("limit", [0, -1])
def test_nothing_is_taken_where_there_is_no_room(kept, limit):
    kept.put("q!", ["q!x"], {}, 60)
    assert kept.take(["q!"], limit) == []
    assert kept


def test_other_queues_are_left_alone(kept):
    kept.put("q!", ["q!x"], {}, 60)
    assert kept.take(["r!"], 1) == []
    assert kept


def test_each_reader_gets_a_copy_of_its_own(kept):
    message = {"list": [1]}
    kept.put("q!", ["q!x", "q!y"], message, 60)
    message["list"].append(2)
    (_, first), (_, second) = kept.take(["q!"], 2)
    first["list"].append(3)
    assert second == {"list": [1]}


def test_what_has_expired_is_not_handed_out(kept, clock):
    kept.put("q!", ["q!old"], {}, 1)
    kept.put("q!", ["q!young"], {}, 60)
    clock.now += 1.001
    assert kept.take(["q!"], 1) == [("q!young", {})]
    assert not kept


def test_to_the_last_moment_it_is_handed_out(kept, clock):
    kept.put("q!", ["q!x"], {}, 1)
    clock.now += 1
    assert kept.take(["q!"], 1) == [("q!x", {})]


def test_what_has_expired_and_nobody_reads_any_more_is_dropped(kept, clock):
    for number in range(100):
        kept.put(f"gone{number}!", [f"gone{number}!x"], {}, 1)
    kept.put("stays!", ["stays!x"], {"n": 1}, 1000)
    clock.now += 2
    for _ in range(60):
        kept.put("busy!", ["busy!x"], {}, 60)
        kept.take(["busy!"], 1)
    assert list(kept._queues) == ["stays!"]
    assert kept.take(["stays!"], 1) == [("stays!x", {"n": 1})]


def test_eight_threads_take_each_message_once(kept):
    names = [f"q!{number}" for number in range(2000)]
    kept.put("q!", names, {}, 60)
    taken = []

    def take(_):
        while True:
            found = kept.take(["q!"], 3)
            if not found:
                return
            taken.extend(name for name, _ in found)

    in_threads(take, range(8))
    assert sorted(taken) == sorted(names)
