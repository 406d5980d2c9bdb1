"""What one entry of a queue brings for several readers waits here for the others."""

from __future__ import annotations

import json
import time

import pytest

from asgi_redis.engine import fanout as module
from asgi_redis.engine.fanout import FanOutBuffer, SharedMessage
from tests.support.threads import in_threads


@pytest.fixture
def buffer():
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


def put(buffer, *channels, message=None, expires_in=60, size=0):
    queue = channels[0].partition("!")[0] + "!"
    data = json.dumps(message or {}).encode().ljust(size)
    buffer.put(SharedMessage(queue, channels, data, json.loads, module.time.monotonic() + expires_in))


def take(buffer, queues, limit):
    shares = []
    buffer.take(queues, limit, shares)
    return [(channel, shared.message()) for shared, channel in shares]


def test_it_tells_whether_there_are_messages(buffer):
    assert not buffer.queues
    put(buffer, "q!x")
    assert buffer.queues
    assert "q!" in buffer.queues
    take(buffer, ["q!"], 1)
    assert not buffer.queues


def test_each_channel_gets_its_message_in_the_order_of_arrival(buffer):
    put(buffer, "q!x", "q!y", message={"n": 1})
    put(buffer, "q!z", message={"n": 2})
    assert take(buffer, ["q!"], 10) == [("q!x", {"n": 1}), ("q!y", {"n": 1}), ("q!z", {"n": 2})]
    assert take(buffer, ["q!"], 10) == []


def test_no_more_than_the_limit_is_taken(buffer):
    put(buffer, "q!x", "q!y")
    put(buffer, "r!x")
    assert [name for name, _ in take(buffer, ["q!", "r!"], 1)] == ["q!x"]
    assert [name for name, _ in take(buffer, ["q!", "r!"], 2)] == ["q!y", "r!x"]


@pytest.mark.parametrize("limit", [0, -1])
def test_nothing_is_taken_where_there_is_no_room(buffer, limit):
    put(buffer, "q!x")
    assert take(buffer, ["q!"], limit) == []
    assert buffer.queues


def test_other_queues_are_left_alone(buffer):
    put(buffer, "q!x")
    assert take(buffer, ["r!"], 1) == []
    assert buffer.queues


def test_each_reader_gets_an_object_of_its_own(buffer):
    put(buffer, "q!x", "q!y", message={"list": [1]})
    (_, first), (_, second) = take(buffer, ["q!"], 2)
    first["list"].append(3)
    assert second == {"list": [1]}


def test_what_has_expired_is_not_handed_out(buffer, clock):
    put(buffer, "q!old", expires_in=1)
    put(buffer, "q!young")
    clock.now += 1.001
    assert take(buffer, ["q!"], 1) == [("q!young", {})]
    assert not buffer.queues


def test_to_the_last_moment_it_is_handed_out(buffer, clock):
    put(buffer, "q!x", expires_in=1)
    clock.now += 1
    assert take(buffer, ["q!"], 1) == [("q!x", {})]


def test_what_has_expired_and_nobody_reads_any_more_is_dropped(buffer, clock):
    for number in range(100):
        put(buffer, f"gone{number}!x", expires_in=1)
    put(buffer, "stays!x", message={"n": 1}, expires_in=1000)
    clock.now += 2
    for _ in range(60):
        put(buffer, "busy!x")
        take(buffer, ["busy!"], 1)
    assert list(buffer.queues) == ["stays!"]
    assert take(buffer, ["stays!"], 1) == [("stays!x", {"n": 1})]


@pytest.mark.parametrize("back", [1, 2, 3, 4])
def test_what_is_put_back_comes_first_and_in_its_order(buffer, back):
    put(buffer, "q!x", "q!y", "q!z", message={"n": 1})
    put(buffer, "q!x", message={"n": 2})
    shares = []
    buffer.take(["q!"], 4, shares)
    buffer.requeue(shares[-back:])
    left = [("q!x", {"n": 1}), ("q!y", {"n": 1}), ("q!z", {"n": 1}), ("q!x", {"n": 2})][-back:]
    assert take(buffer, ["q!"], 10) == left
    assert not buffer.queues


def test_an_entry_is_here_or_there(buffer):
    entries = ["first", "second"]
    buffer.put(SharedMessage("q!", ["q!x"], b"{}", json.loads, time.monotonic() + 60), None, entries, 1)
    assert entries == ["first"]
    assert take(buffer, ["q!"], 10) == [("q!x", {})]


def test_no_more_bytes_are_kept_than_there_may_be_and_what_is_lost_is_told():
    notified = []
    buffer = FanOutBuffer(lambda queue, number: notified.append((queue, number)))
    for number in range(10):
        put(buffer, "q!x", "q!y", message={"n": number}, size=module.MOST_BYTES // 8)
    assert notified == [("q!", 2)] * 3
    assert take(buffer, ["q!"], 1) == [("q!x", {"n": 3})]
    take(buffer, ["q!"], 100)
    assert not buffer.queues
    put(buffer, "q!x", size=module.MOST_BYTES // 2)
    assert len(notified) == 3, "what was taken counts no longer"


def test_many_names_count_as_bytes_too():
    notified = []
    buffer = FanOutBuffer(lambda queue, number: notified.append((queue, number)))
    names = [f"q!{number}" for number in range(100_000)]
    for _ in range(4):
        put(buffer, *names)
    assert notified == [("q!", 100_000)]


def test_eight_threads_take_each_message_once(buffer):
    names = [f"q!{number}" for number in range(2000)]
    put(buffer, *names)
    taken = []

    def take_all(_):
        while True:
            found = take(buffer, ["q!"], 3)
            if not found:
                return
            taken.extend(name for name, _ in found)

    in_threads(take_all, range(8))
    assert sorted(taken) == sorted(names)
