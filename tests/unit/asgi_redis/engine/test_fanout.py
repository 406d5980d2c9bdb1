"""What one entry of a queue brings for several readers waits here for the others."""

from __future__ import annotations

import json
import time

import pytest

from asgi_redis.engine import fanout as module
from asgi_redis.engine.fanout import FanOutBuffer, SharedMessage
from tests.support.threads import in_threads


@pytest.fixture
def kept():
    return FanOutBuffer()


@pytest.fixture
def clock(monkeypatch):
    """Seconds that have passed, to be moved by hand."""

    class Clock:
        now = 1000.0

        def monotonic(self):
            return self.now

    clock = Clock()
    monkeypatch.setattr("asgi_redis.engine.fanout.time", clock)
    return clock


def put(kept, *channels, message=None, expires_in=60, size=0):
    queue = channels[0].partition("!")[0] + "!"
    data = json.dumps(message or {}).encode().ljust(size)
    kept.put(SharedMessage(queue, channels, data, json.loads, module.time.monotonic() + expires_in))


def take(kept, queues, limit):
    shares = []
    kept.take(queues, limit, shares)
    return [(channel, shared.message()) for shared, channel in shares]


def test_it_is_true_while_something_is_kept(kept):
    assert not kept.queues
    put(kept, "q!x")
    assert kept.queues
    assert "q!" in kept.queues
    take(kept, ["q!"], 1)
    assert not kept.queues


def test_each_channel_gets_its_message_in_the_order_of_arrival(kept):
    put(kept, "q!x", "q!y", message={"n": 1})
    put(kept, "q!z", message={"n": 2})
    assert take(kept, ["q!"], 10) == [("q!x", {"n": 1}), ("q!y", {"n": 1}), ("q!z", {"n": 2})]
    assert take(kept, ["q!"], 10) == []


def test_no_more_than_the_limit_is_taken(kept):
    put(kept, "q!x", "q!y")
    put(kept, "r!x")
    assert [name for name, _ in take(kept, ["q!", "r!"], 1)] == ["q!x"]
    assert [name for name, _ in take(kept, ["q!", "r!"], 2)] == ["q!y", "r!x"]


@pytest.mark.parametrize("limit", [0, -1])
def test_nothing_is_taken_where_there_is_no_room(kept, limit):
    put(kept, "q!x")
    assert take(kept, ["q!"], limit) == []
    assert kept.queues


def test_other_queues_are_left_alone(kept):
    put(kept, "q!x")
    assert take(kept, ["r!"], 1) == []
    assert kept.queues


def test_each_reader_gets_an_object_of_its_own(kept):
    put(kept, "q!x", "q!y", message={"list": [1]})
    (_, first), (_, second) = take(kept, ["q!"], 2)
    first["list"].append(3)
    assert second == {"list": [1]}


def test_what_has_expired_is_not_handed_out(kept, clock):
    put(kept, "q!old", expires_in=1)
    put(kept, "q!young")
    clock.now += 1.001
    assert take(kept, ["q!"], 1) == [("q!young", {})]
    assert not kept.queues


def test_to_the_last_moment_it_is_handed_out(kept, clock):
    put(kept, "q!x", expires_in=1)
    clock.now += 1
    assert take(kept, ["q!"], 1) == [("q!x", {})]


def test_what_has_expired_and_nobody_reads_any_more_is_dropped(kept, clock):
    for number in range(100):
        put(kept, f"gone{number}!x", expires_in=1)
    put(kept, "stays!x", message={"n": 1}, expires_in=1000)
    clock.now += 2
    for _ in range(60):
        put(kept, "busy!x")
        take(kept, ["busy!"], 1)
    assert list(kept.queues) == ["stays!"]
    assert take(kept, ["stays!"], 1) == [("stays!x", {"n": 1})]


@pytest.mark.parametrize("back", [1, 2, 3, 4])
def test_what_is_put_back_comes_first_and_in_its_order(kept, back):
    put(kept, "q!x", "q!y", "q!z", message={"n": 1})
    put(kept, "q!x", message={"n": 2})
    shares = []
    kept.take(["q!"], 4, shares)
    kept.requeue(shares[-back:])
    left = [("q!x", {"n": 1}), ("q!y", {"n": 1}), ("q!z", {"n": 1}), ("q!x", {"n": 2})][-back:]
    assert take(kept, ["q!"], 10) == left
    assert not kept.queues


def test_an_entry_is_here_or_there(kept):
    entries = ["first", "second"]
    kept.put(SharedMessage("q!", ["q!x"], b"{}", json.loads, time.monotonic() + 60), None, entries, 1)
    assert entries == ["first"]
    assert take(kept, ["q!"], 10) == [("q!x", {})]


def test_no_more_bytes_are_kept_than_there_may_be_and_what_is_lost_is_told():
    told = []
    kept = FanOutBuffer(lambda queue, number: told.append((queue, number)))
    for number in range(10):
        put(kept, "q!x", "q!y", message={"n": number}, size=module.MOST_BYTES // 8)
    assert told == [("q!", 2)] * 3
    assert take(kept, ["q!"], 1) == [("q!x", {"n": 3})]
    take(kept, ["q!"], 100)
    assert not kept.queues
    put(kept, "q!x", size=module.MOST_BYTES // 2)
    assert len(told) == 3, "what was taken counts no longer"


def test_many_names_count_as_bytes_too():
    told = []
    kept = FanOutBuffer(lambda queue, number: told.append((queue, number)))
    names = [f"q!{number}" for number in range(100_000)]
    for _ in range(4):
        put(kept, *names)
    assert told == [("q!", 100_000)]


def test_eight_threads_take_each_message_once(kept):
    names = [f"q!{number}" for number in range(2000)]
    put(kept, *names)
    taken = []

    def take_all(_):
        while True:
            found = take(kept, ["q!"], 3)
            if not found:
                return
            taken.extend(name for name, _ in found)

    in_threads(take_all, range(8))
    assert sorted(taken) == sorted(names)
