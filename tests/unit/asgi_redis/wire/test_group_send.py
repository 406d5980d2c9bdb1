"""Which queues a group's message goes into."""

from __future__ import annotations

import pytest

from asgi_redis.wire import (
    GroupFrame,
    GroupPart,
    GroupParts,
    GroupSendOperations,
    Keys,
    plan_group,
    scripts,
    shard_of,
    share,
)
from tests.support.resp import commands, script_call

KEYS = Keys("p:", "s:")


@pytest.fixture
def operations():
    return GroupSendOperations(KEYS, 60)


def plan(members, shards=1, turn=0, capacity=100):
    return plan_group(members, shards, turn, lambda channels: [capacity] * len(channels))


def parts_of(**capacities):
    """Returns parts of one shard, each with a channel of its name."""
    queues = [name.encode() for name in capacities]
    return GroupParts(0, False, queues, [[queue] for queue in queues], list(capacities.values()))


def test_members_of_one_process_share_one_entry():
    (parts,) = plan([b"p!a", b"q!a", b"p!b"])
    assert (parts.shard, parts.elsewhere) == (0, False)
    assert parts.queues == [b"p!", b"q!"]
    assert parts.channels == [[b"p!a", b"p!b"], [b"q!a"]]
    assert parts.capacities == [100, 100]


def test_what_is_no_name_of_a_channel_is_left_out():
    (parts,) = plan([b"p!a", b"q!a\nq!b", b"", b"a b", b"!", b"q!a!", b"\n"])
    assert parts.queues == [b"p!"]
    assert plan([b"", b"a b"]) == plan([b"", b"a b"], shards=2) == []


def test_channels_without_a_mark_and_single_reader_channels_have_a_queue_each():
    (parts,) = plan([b"work", b"reply?a", b"reply?b"])
    assert parts.queues == [b"work", b"reply?a", b"reply?b"]


def test_the_capacity_is_asked_for_with_a_full_name_of_the_queue():
    asked = []

    def capacities(channels):
        asked.append(channels)
        return [3]

    (parts,) = plan_group([b"p!a", b"p!b"], 1, 0, capacities)
    assert asked == [[b"p!a"]]
    assert parts.capacities == [3]


def test_process_local_and_single_reader_queues_stay_on_their_shard_whatever_the_turn():
    for turn in range(3):
        placed = [
            (parts.shard, queue)
            for parts in plan([b"p!a", b"reply?b"], shards=3, turn=turn)
            for queue in parts.queues
        ]
        assert sorted(placed) == sorted([(shard_of(b"p!", 3), b"p!"), (shard_of(b"reply?b", 3), b"reply?b")])


def test_a_normal_channel_moves_on_by_a_shard_with_each_turn():
    visited = [parts.shard for turn in range(3) for parts in plan([b"work"], shards=3, turn=turn)]
    assert sorted(visited) == [0, 1, 2]


@pytest.mark.parametrize("capacity", [1, 2, 3, 7, 100])
@pytest.mark.parametrize("shards", [1, 2, 3, 7])
def test_the_shares_of_all_shards_make_up_the_capacity(capacity, shards):
    shares = [share(capacity, shard, shards) for shard in range(shards)]
    assert sum(shares) == capacity
    assert max(shares) - min(shares) <= 1


def test_only_a_normal_channel_on_several_shards_can_be_tried_elsewhere():
    def elsewhere(shards):
        placed = plan([b"work", b"p!a", b"reply?b"], shards)
        return {queue for parts in placed if parts.elsewhere for queue in parts.queues}

    assert elsewhere(3) == {b"work"}
    assert elsewhere(1) == set()


def test_a_frame_reads_positions_from_one_on():
    frame = GroupFrame(b"", b"", GroupParts(0, True, [b"a", b"p!"], [[b"a"], [b"p!x", b"p!y"]], [1, 1]))
    assert frame.read([2]) == [GroupPart(b"p!", [b"p!x", b"p!y"], elsewhere=True)]
    assert frame.read([]) == []


def test_a_frame_reads_refusals_with_their_positions():
    frame = GroupFrame(b"", b"", parts_of(a=1, b=1))
    assert frame.read([1, [2, b"WRONGTYPE"]]) == [
        GroupPart(b"a", [b"a"]),
        GroupPart(b"b", [b"b"], refusal="WRONGTYPE"),
    ]


def test_a_group_without_members_goes_nowhere():
    assert plan([], shards=1) == plan([], shards=2) == []


def test_a_group_send_has_the_head_once_and_a_tail_for_each_queue(operations):
    frame = operations.frame(parts_of(a=5, queue=9), [b"tail-a", b"tail-q"], True)
    operation = operations.send(frame, b"HEAD")
    assert operation.packed.count(b"HEAD") == 1
    sha, keys, arguments = script_call(*commands(operation.packed))
    assert sha == scripts.SEND_GROUP.sha
    assert keys == [b"p:a", b"p:queue", b"s:a", b"s:queue", KEYS.global_counters]
    assert arguments == [b"60", b"60000", b"3600", b"86400", b"1", b"HEAD", b"tail-a", b"tail-q", b"5", b"9"]


def test_a_capacity_that_all_queues_have_is_sent_once(operations):
    operation = operations.send(operations.frame(parts_of(a=7, b=7, c=7), [b"1", b"2", b"3"], True), b"HEAD")
    _, _, arguments = script_call(*commands(operation.packed))
    assert arguments[-5:] == [b"HEAD", b"1", b"2", b"3", b"7"]


def test_a_group_send_reads_as_the_parts_that_were_full(operations):
    parts = parts_of(a=5, b=9)
    read = operations.send(operations.frame(parts, [b"", b""], False), b"").read
    assert read([]) == []
    assert read([2]) == [parts.part(1)]
    assert read([1, 2]) == [parts.part(0), parts.part(1)]
