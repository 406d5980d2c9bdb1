"""The queues that a receive looks into, and their order."""

from __future__ import annotations

import pytest

from asgi_redis.wire import ChannelSet, shard_of


def turns(channels, shards, count):
    channel_set = ChannelSet(channels, shards)
    return [list(channel_set.turn()) for _ in range(count)]


def test_on_one_shard_each_queue_comes_first_in_turn():
    firsts = [turn[0][1][0] for turn in turns(["a", "b", "c"], 1, 6)]
    assert sorted(firsts[:3]) == [b"a", b"b", b"c"]
    assert firsts[3:] == firsts[:3]


def test_a_reader_with_other_channels_each_time_does_not_always_begin_with_the_first():
    firsts = {turns(["a", "b"], 1, 1)[0][0][1][0] for _ in range(100)}
    assert firsts == {b"a", b"b"}


def test_every_turn_has_every_queue_once():
    for ((_, queues),) in turns(["a", "b", "c"], 1, 3):
        assert sorted(queues) == [b"a", b"b", b"c"]


def test_a_channel_that_is_given_twice_is_read_once():
    (((shard, queues),),) = turns(["a", "b", "a"], 1, 1)
    assert (shard, sorted(queues)) == (0, [b"a", b"b"])


def test_a_normal_channel_is_looked_for_on_all_shards():
    assert sorted(turns(["work"], 3, 1)[0]) == [(shard, [b"work"]) for shard in range(3)]


@pytest.mark.parametrize("name", ["specific.ab!", "reply?xyz"])
def test_process_local_and_single_reader_channels_are_looked_for_on_their_shard_only(name):
    assert turns([name], 3, 1) == [[(shard_of(name.encode(), 3), [name.encode()])]]


@pytest.mark.parametrize("shards", [2, 3])
def test_each_shard_and_on_each_shard_each_queue_comes_first_in_turn(shards):
    firsts = {(turn[0][0], turn[0][1][0]) for turn in turns(["a", "b"], shards, 2 * shards)}
    assert firsts == {(shard, queue) for shard in range(shards) for queue in (b"a", b"b")}


def test_no_channels_are_on_no_shard():
    assert turns([], 3, 2) == [[], []]


def test_this_machine_comes_first_every_other_time():
    channel_set = ChannelSet(["a!"], 3, ("b",))
    assert channel_set.is_spread
    first = [channel_set.is_here_first() for _ in range(4)]
    assert first in ([True, False, True, False], [False, True, False, True])
    assert ChannelSet([], 3, ("b",)).is_here_first()
