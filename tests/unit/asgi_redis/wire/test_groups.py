"""The operations on groups as bytes, and the reading of their replies."""

from __future__ import annotations

import pytest

from asgi_redis.wire import GroupOperations, Keys, scripts
from asgi_redis.wire.groups import GroupMembers
from tests.support.resp import commands, named, script_call

KEYS = Keys("p:", "s:")


@pytest.fixture
def operations():
    return GroupOperations(KEYS, 86400)


def test_adding_to_a_group_names_the_full_channel(operations):
    call = script_call(*commands(operations.add("chat", "p!x").packed))
    assert named(scripts.GROUP_ADD, call) == {
        "group": b"p::group:chat",
        "channel": b"p!x",
        "ttl": b"86400000",
    }


def test_discarding_from_a_group_is_one_plain_command(operations):
    operation = operations.discard("chat", "p!x")
    assert commands(operation.packed) == [[b"ZREM", b"p::group:chat", b"p!x"]]
    assert operation.read(1) is True
    assert operation.read(0) is False


def test_the_members_of_a_group_are_read_behind_the_removal_of_the_expired(operations):
    operation = operations.members("chat")
    expire, read = commands(operation.packed)
    assert script_call(expire) == (scripts.GROUP_EXPIRE.sha, [b"p::group:chat"], [b"86400", b"2500"])
    assert read == [b"ZRANGE", b"p::group:chat", b"0", b"9999"]
    assert operation.replies == 2
    assert operation.read([[0, 2], [b"a", b"b"]]) == GroupMembers([b"a", b"b"], expired=False, more=False)
    assert operation.read([[3, 12], [b"a", b"b"]]) == GroupMembers([b"a", b"b"], expired=True, more=True)


@pytest.mark.parametrize("found", [[b"a", b"1", b"b", b"2.5"], [[b"a", 1.0], [b"b", 2.5]]])
def test_many_members_of_a_group_are_read_some_at_a_time_with_their_scores(operations, found):
    operation = operations.scan("chat", b"17")
    assert commands(operation.packed) == [[b"ZSCAN", b"p::group:chat", b"17", b"COUNT", b"2500"]]
    assert operation.read([b"0", found]) == (b"0", {b"a": 1.0, b"b": 2.5})
    assert operation.read([b"5", []]) == (b"5", {})
