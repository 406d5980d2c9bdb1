"""The operations of delayed messages, as bytes; what the scripts do is tested in ``tests/layer``."""

from __future__ import annotations

import pytest

from asgi_redis.wire import Keys, scripts
from asgi_redis.wire.delayed import DelayedEntry, DelayOperations, DueNow
from tests.support.resp import commands, script_call


@pytest.fixture
def operations():
    return DelayOperations(Keys("p", "s:"), 60)


def test_a_message_is_stored_in_the_delayed_set_of_the_prefix(operations):
    operation = operations.store(b"member", 1.5)
    assert operation.script is scripts.STORE_DELAYED
    for part in (b"p:delayed", b"member", b"\r\n1.5\r\n", b"86400"):
        assert part in operation.packed


def test_what_is_to_wait_for_room_goes_to_the_set_of_its_queue(operations):
    some = [DelayedEntry(b"first", b"1.5"), DelayedEntry(b"second", b"2.5")]
    operation = operations.wait(some, b"local!", 1.0)
    assert operation.script is scripts.WAIT_DELAYED
    _, keys, arguments = script_call(*commands(operation.packed))
    assert keys == [b"p:delayed", b"p:waiting:local!", b"p:waiting"]
    assert arguments == [b"local!", b"1.0", b"86400", b"0", b"first", b"1.5", b"second", b"2.5"]
    assert commands(operations.wait(some, b"local!", 1.0, taken=True).packed)[0][-5] == b"1"
    assert operation.read(0) is False


@pytest.mark.parametrize(
    ("reply", "meaning"),
    [
        ([-1, [], []], DueNow([], [], None)),
        (
            [1500000, [], [b"a", b"1", b"b", b"2"]],
            DueNow([], [DelayedEntry(b"a", b"1"), DelayedEntry(b"b", b"2")], 1.5),
        ),
        ([0, [b"full"], []], DueNow([b"full"], [], 0)),
    ],
)
def test_what_is_due_reads_as_queues_members_and_seconds(operations, reply, meaning):
    assert operations.due(100, 1.0).read(reply) == meaning


@pytest.mark.parametrize(("waiting", "source"), [(False, b"p:delayed"), (True, b"p:waiting:local!")])
def test_a_delivery_names_all_its_keys(operations, waiting, source):
    operation = operations.deliver(DelayedEntry(b"kept", b"1"), b"local!", 100, b"member", waiting)
    assert operation.script is scripts.DELIVER_DELAYED
    assert operation.read(2) == 2
    _, keys, arguments = script_call(*commands(operation.packed))
    assert keys == [source, b"p:waiting:local!", b"plocal!", b"s:local!", b"s:#global#"]
    assert arguments[0] == b"100"
    assert arguments[-2:] == [b"kept", b"member"]


def test_what_waits_reads_as_members_with_their_scores(operations):
    operation = operations.waiting(b"full", 5)
    assert script_call(*commands(operation.packed))[1:] == (
        [b"p:waiting:full", b"p:waiting"],
        [b"full", b"5", b"86400"],
    )
    assert operation.read([b"a", b"1"]) == [DelayedEntry(b"a", b"1")]
    assert operation.read([]) == []


def test_a_queue_that_is_to_be_tried_again_is_due_if_something_still_waits_for_it(operations):
    assert commands(operations.try_again(b"full").packed) == [[b"ZADD", b"p:waiting", b"XX", b"0", b"full"]]


def test_a_discard_is_a_plain_command(operations):
    entry = DelayedEntry(b"kept", b"1")
    assert commands(operations.discard(entry).packed) == [[b"ZREM", b"p:delayed", b"kept"]]
    assert commands(operations.discard(entry, b"full").packed) == [[b"ZREM", b"p:waiting:full", b"kept"]]
    assert operations.discard(entry).read(1) is True
