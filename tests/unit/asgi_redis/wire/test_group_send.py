"""Which queues a group's message goes into."""

from __future__ import annotations

import pytest

from asgi_redis.wire import GroupFrame, GroupPart, GroupSendOperations, Keys, plan_group, scripts, shard_of, share
from tests.support.resp import commands, script_call

KEYS = Keys("p:", "s:")


@pytest.fixture
def operations():
    return GroupSendOperations(KEYS, 60)


def plan(members, shards=1, turn=0, capacity=100):
    return plan_group(members, shards, turn, lambda channel: capacity)


def test_members_of_one_process_share_one_entry():
    assert plan([b"p!a", b"q!a", b"p!b"]) == [
        [GroupPart(b"p!", 100, [b"p!a", b"p!b"]), GroupPart(b"q!", 100, [b"q!a"])]
    ]


def test_channels_without_a_mark_and_single_reader_channels_have_a_queue_each():
    (parts,) = plan([b"work", b"reply?a", b"reply?b"])
    assert [part.queue for part in parts] == [b"work", b"reply?a", b"reply?b"]


def test_the_capacity_is_asked_for_with_a_full_name_of_the_queue():
    asked = []

    def capacity(channel):
        asked.append(channel)
        return 3

    ((part,),) = plan_group([b"p!a"], 1, 0, capacity)
    assert asked == ["p!a"]
    assert part.capacity == 3


def test_process_local_and_single_reader_queues_stay_on_their_shard_whatever_the_turn():
    for turn in range(3):
        by_shard = plan([b"p!a", b"reply?b"], shards=3, turn=turn)
        assert [part.queue for part in by_shard[shard_of(b"p!", 3)]].count(b"p!") == 1
        assert [part.queue for part in by_shard[shard_of(b"reply?b", 3)]].count(b"reply?b") == 1


def test_a_normal_channel_moves_on_by_a_shard_with_each_turn():
    visited = [[bool(parts) for parts in plan([b"work"], shards=3, turn=turn)].index(True) for turn in range(3)]
    assert sorted(visited) == [0, 1, 2]


@pytest.mark.parametrize("capacity", [1, 2, 3, 7, 100])
@pytest.mark.parametrize("shards", [1, 2, 3, 7])
def test_the_shares_of_all_shards_make_up_the_capacity(capacity, shards):
    shares = [share(capacity, shard, shards) for shard in range(shards)]
    assert sum(shares) == capacity
    assert max(shares) - min(shares) <= 1


def test_only_a_normal_channel_on_several_shards_can_be_tried_elsewhere():
    def elsewhere(shards):
        return {
            part.queue for parts in plan([b"work", b"p!a", b"reply?b"], shards) for part in parts if part.elsewhere
        }

    assert elsewhere(3) == {b"work"}
    assert elsewhere(1) == set()


def test_a_frame_reads_positions_from_one_on():
    frame = GroupFrame(b"", b"", [GroupPart(b"a", 1, [b"a"]), GroupPart(b"p!", 1, [b"p!x", b"p!y", b"p!z"])])
    assert frame.read([2]) == [frame.parts[1]]
    assert frame.read([]) == []


def test_a_frame_reads_refusals_with_their_positions():
    frame = GroupFrame(b"", b"", [GroupPart(b"a", 1, [b"a"]), GroupPart(b"b", 1, [b"b"])])
    refused = frame.parts[1]._replace(refusal="WRONGTYPE")
    assert frame.read([1, [2, b"WRONGTYPE"]]) == [frame.parts[0], refused]


def test_a_group_without_members_goes_nowhere():
    assert plan([], shards=2) == [[], []]


def test_a_group_send_has_the_head_once_and_a_tail_for_each_queue(operations):
    parts = [GroupPart(b"a", 5, [b"a"]), GroupPart(b"p!", 9, [b"p!x", b"p!y"])]
    frame = operations.frame(parts, [b"tail-a", b"tail-p"], True)
    operation = operations.send(frame, b"HEAD")
    assert operation.packed.count(b"HEAD") == 1
    sha, keys, arguments = script_call(*commands(operation.packed))
    assert sha == scripts.SEND_GROUP.sha
    assert keys == [b"p:a", b"p:p!", b"s:a", b"s:p!", KEYS.global_counters]
    assert arguments == [b"60", b"60000", b"3600", b"86400", b"1", b"HEAD", b"5", b"9", b"tail-a", b"tail-p"]


def test_a_group_send_reads_as_the_parts_that_were_full(operations):
    parts = [GroupPart(b"a", 5, [b"a"]), GroupPart(b"p!", 9, [b"p!x", b"p!y"])]
    read = operations.send(operations.frame(parts, [b"", b""], False), b"").read
    assert read([]) == []
    assert read([2]) == [parts[1]]
    assert read([1, 2]) == parts
