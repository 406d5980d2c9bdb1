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


def test_the_members_of_a_group_are_read_with_the_oldest_and_the_clock(operations):
    operation = operations.members("chat")
    assert commands(operation.packed) == [
        [b"ZRANGE", b"p::group:chat", b"0", b"0", b"WITHSCORES"],
        [b"TIME"],
        [b"ZRANGE", b"p::group:chat", b"0", b"9999"],
    ]
    assert operation.replies == 3
    assert operation.read([[], [b"5", b"0"], []]) == GroupMembers([], expired=False, more=False)
    many = [b"a"] * 10_000
    assert operation.read([[b"a", b"1"], [b"5", b"0"], many]) == GroupMembers(many, expired=False, more=True)


@pytest.mark.parametrize("oldest", [[b"a", b"1000.5"], [[b"a", 1000.5]]])
def test_the_oldest_member_has_expired_when_it_is_older_than_group_expiry(operations, oldest):
    read = operations.members("chat").read
    assert not read([oldest, [b"87400", b"500000"], [b"a"]]).expired
    assert read([oldest, [b"87400", b"500001"], [b"a"]]).expired


def test_some_expired_members_are_removed_at_a_time(operations):
    operation = operations.expire("chat")
    (expire,) = commands(operation.packed)
    assert script_call(expire) == (scripts.GROUP_EXPIRE.sha, [b"p::group:chat"], [b"86400", b"2500"])
    assert operation.read(3) == 3


@pytest.mark.parametrize("found", [[b"a", b"1", b"b", b"2.5"], [[b"a", 1.0], [b"b", 2.5]]])
def test_many_members_of_a_group_are_read_some_at_a_time_with_their_scores(operations, found):
    operation = operations.scan("chat", b"17")
    assert commands(operation.packed) == [[b"ZSCAN", b"p::group:chat", b"17", b"COUNT", b"2500"]]
    assert operation.read([b"0", found]) == (b"0", {b"a": 1.0, b"b": 2.5})
    assert operation.read([b"5", []]) == (b"5", {})
