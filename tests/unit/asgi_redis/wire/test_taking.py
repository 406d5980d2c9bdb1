"""Receives and waits as bytes, and the reading of their replies."""

from __future__ import annotations

import pytest

from asgi_redis.wire import Keys, ReceiveOperations, Taken, scripts
from tests.support.resp import commands, named, script_call

KEYS = Keys("p:", "s:")


@pytest.fixture
def operations():
    return ReceiveOperations(KEYS, 60)


def test_a_receive_names_its_queues_and_its_limit(operations):
    operation = operations.receive([b"a", b"b"], 5)
    call = (scripts.RECEIVE.sha, [b"p:a", b"p:b"], [b"60", b"5"])
    assert script_call(*commands(operation.packed)) == call


def test_a_receive_reads_as_what_was_taken_with_its_age_in_seconds(operations):
    messages = [b"p:a", b"m1", 1500000, b"17.5", b"p:b", b"m2", 0, b"19"]
    taken = operations.receive([b"a"], 5).read([2, *messages])
    assert taken == [Taken(b"a", b"m1", 1.5, b"17.5"), Taken(b"b", b"m2", 0.0, b"19")]
    assert taken.expired == {}


def test_a_receive_reads_how_many_messages_it_has_dropped_of_which_queue(operations):
    read = operations.receive([b"a"], 5).read
    assert read([0, b"p:a", 3, b"p:b", 1]).expired == {b"a": 3, b"b": 1}
    taken = read([1, b"p:a", b"m1", 0, b"17.5", b"p:a", 7])
    assert (taken, taken.expired) == ([Taken(b"a", b"m1", 0.0, b"17.5")], {b"a": 7})


def test_one_message_of_one_queue_is_taken_without_a_script(operations):
    operation = operations.take_one(b"a")
    assert commands(operation.packed) == [[b"ZPOPMIN", b"p:a"], [b"TIME"]]
    assert operation.replies == 2
    taken = operation.read([[b"m", b"1700000000.5"], [b"1700000002", b"250000"]])
    assert (taken, taken.expired) == ([Taken(b"a", b"m", 1.75, b"1700000000.5")], {})
    assert operation.read([[b"m", 1700000000.5], [b"1700000002", b"250000"]])[0].age == 1.75, "RESP 3"


def test_an_empty_queue_has_no_message_to_take(operations):
    taken = operations.take_one(b"a").read([[], [b"1700000000", b"0"]])
    assert (taken, taken.expired) == ([], {})


@pytest.mark.parametrize(("microseconds", "expired"), [(b"0", {}), (b"1", {b"a": 1})])
def test_one_message_that_is_older_than_the_expiry_is_dropped_and_counted(operations, microseconds, expired):
    taken = operations.take_one(b"a").read([[b"m", b"1700000000"], [b"1700000060", microseconds]])
    assert taken.expired == expired
    assert len(taken) == 1 - len(expired)


@pytest.mark.parametrize(("timeout", "asked"), [(5, b"5"), (0, b"1"), (0.0004, b"1"), (4.9999, b"5")])
def test_a_pop_waits_whole_seconds_no_shorter_than_the_timeout_and_never_for_ever(operations, timeout, asked):
    operation = operations.pop([b"a", b"b"], timeout)
    assert commands(operation.packed) == [[b"BZPOPMIN", b"p:a", b"p:b", asked], [b"TIME"]]
    assert operation.replies == 2


def test_a_pop_without_a_message_reads_as_none(operations):
    assert operations.pop([b"a"], 1).read([None, [b"1700000000", b"0"]]) is None


def test_a_pop_reads_as_a_message_whose_age_is_by_the_servers_clock(operations):
    taken = operations.pop([b"a"], 1).read([[b"p:a", b"m", b"1700000000.5"], [b"1700000002", b"250000"]])
    assert taken == Taken(b"a", b"m", 1.75, b"1700000000.5")


def test_a_pop_over_resp_3_has_a_number_for_its_score(operations):
    taken = operations.pop([b"a"], 1).read([[b"p:a", b"m", 1700000000.5], [b"1700000002", b"250000"]])
    assert taken.age == 1.75
    assert float(taken.score) == 1700000000.5


def test_a_message_expires_when_it_is_older_than_the_expiry(operations):
    assert not operations.is_expired(Taken(b"a", b"m", 60.0, b"1"))
    assert operations.is_expired(Taken(b"a", b"m", 60.000001, b"1"))


def test_giving_back_keeps_the_score_to_the_last_digit(operations):
    call = script_call(*commands(operations.requeue(Taken(b"a", b"m", 1.0, b"1700000000.1234567")).packed))
    assert named(scripts.REQUEUE, call) == {
        "queue": b"p:a",
        "member": b"m",
        "score": b"1700000000.1234567",
        "ttl": b"60000",
    }
