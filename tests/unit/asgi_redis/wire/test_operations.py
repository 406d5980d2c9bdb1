"""Every call as a request and a reading of its reply: no server is needed to say what goes over the wire."""

from __future__ import annotations

import pytest

from asgi_redis.wire import GroupMembers, GroupPart, Keys, Operations, Taken, scripts
from asgi_redis.wire.operations import client_id, scan, unblock, unlink
from tests.support.resp import commands, script_call

KEYS = Keys("p:", "s:")


@pytest.fixture
def operations():
    return Operations(KEYS, 60, 86400)


def named(script, arguments):
    """Returns KEYS and ARGV by the names that the script's header gives them."""
    header = [line.split() for line in script.text.decode().splitlines() if line.startswith(("-- KEYS[", "-- ARGV["))]
    slots = {"KEYS": arguments[1], "ARGV": arguments[2]}
    assert arguments[0] == script.sha
    return {words[2]: slots[words[1][:4]][int(words[1][5:-1]) - 1] for words in header}


def test_a_send_hands_the_script_its_queue_its_counters_and_the_member(operations):
    head = operations.send_head(b"work", 7, count_full=True)
    operation = operations.send(head, b"\x00member")
    assert named(scripts.SEND, script_call(*commands(operation.packed))) == {
        "queue": b"p:work",
        "channel_counters": b"s:work",
        "global_counters": KEYS.global_counters,
        "capacity": b"7",
        "expiry": b"60",
        "ttl": b"60000",
        "channel_ttl": b"3600",
        "global_ttl": b"86400",
        "count_full": b"1",
        "member": b"\x00member",
    }
    assert operation.script is scripts.SEND


def test_a_send_that_another_shard_may_still_take_counts_no_refusal(operations):
    operation = operations.send(operations.send_head(b"work", 7, count_full=False), b"m")
    assert named(scripts.SEND, script_call(*commands(operation.packed)))["count_full"] == b"0"


@pytest.mark.parametrize(("reply", "sent"), [(1, True), (0, False)])
def test_a_send_reads_as_whether_the_message_was_sent(operations, reply, sent):
    assert operations.send(b"", b"").read(reply) is sent


def test_a_queue_outlives_a_fraction_of_a_second_rounded_up():
    operations = Operations(KEYS, 0.0001, 1)
    call = script_call(*commands(operations.send(operations.send_head(b"work", 7, True), b"m").packed))
    assert named(scripts.SEND, call)["ttl"] == b"1"


def test_a_group_send_has_the_head_once_and_a_tail_for_each_queue(operations):
    parts = [GroupPart(b"a", 5, [b"a"]), GroupPart(b"p!", 9, [b"p!x", b"p!y"])]
    frame = operations.group_frame(parts, [b"tail-a", b"tail-p"], True)
    operation = operations.send_group(frame, b"HEAD")
    assert operation.packed.count(b"HEAD") == 1
    sha, keys, arguments = script_call(*commands(operation.packed))
    assert sha == scripts.SEND_GROUP.sha
    assert keys == [b"p:a", b"p:p!", b"s:a", b"s:p!", KEYS.global_counters]
    assert arguments == [b"60", b"60000", b"3600", b"86400", b"1", b"HEAD", b"5", b"9", b"tail-a", b"tail-p"]


def test_a_group_send_reads_as_the_parts_that_were_full(operations):
    parts = [GroupPart(b"a", 5, [b"a"]), GroupPart(b"p!", 9, [b"p!x", b"p!y"])]
    read = operations.send_group(operations.group_frame(parts, [b"", b""], False), b"").read
    assert read([]) == []
    assert read([2]) == [parts[1]]
    assert read([1, 2]) == parts


def test_a_receive_names_its_queues_and_its_limit(operations):
    operation = operations.receive([b"p:a", b"p:b"], 5)
    call = (scripts.RECEIVE.sha, [b"p:a", b"p:b"], [b"60", b"5"])
    assert script_call(*commands(operation.packed)) == call


def test_a_receive_reads_as_what_was_taken_with_its_age_in_seconds(operations):
    messages = [b"p:a", b"m1", 1500000, b"17.5", b"p:b", b"m2", 0, b"19"]
    taken = operations.receive([b"p:a"], 5).read([2, *messages])
    assert taken == [Taken(b"p:a", b"m1", 1.5, b"17.5"), Taken(b"p:b", b"m2", 0.0, b"19")]
    assert taken.expired == {}


def test_a_receive_reads_how_many_messages_it_has_dropped_of_which_queue(operations):
    read = operations.receive([b"p:a"], 5).read
    assert read([0, b"p:a", 3, b"p:b", 1]).expired == {b"p:a": 3, b"p:b": 1}
    taken = read([1, b"p:a", b"m1", 0, b"17.5", b"p:a", 7])
    assert (taken, taken.expired) == ([Taken(b"p:a", b"m1", 0.0, b"17.5")], {b"p:a": 7})


@pytest.mark.parametrize(("timeout", "asked"), [(5, b"5"), (0, b"1"), (0.0004, b"1"), (4.9999, b"5")])
def test_a_pop_waits_whole_seconds_no_shorter_than_the_timeout_and_never_for_ever(operations, timeout, asked):
    operation = operations.pop([b"p:a", b"p:b"], timeout)
    assert commands(operation.packed) == [[b"BZPOPMIN", b"p:a", b"p:b", asked], [b"TIME"]]
    assert operation.replies == 2


def test_a_pop_without_a_message_reads_as_none(operations):
    assert operations.pop([b"p:a"], 1).read([None, [b"1700000000", b"0"]]) is None


def test_a_pop_reads_as_a_message_whose_age_is_by_the_servers_clock(operations):
    taken = operations.pop([b"p:a"], 1).read([[b"p:a", b"m", b"1700000000.5"], [b"1700000002", b"250000"]])
    assert taken == Taken(b"p:a", b"m", 1.75, b"1700000000.5")


def test_a_pop_over_resp_3_has_a_number_for_its_score(operations):
    taken = operations.pop([b"p:a"], 1).read([[b"p:a", b"m", 1700000000.5], [b"1700000002", b"250000"]])
    assert taken.age == 1.75
    assert float(taken.score) == 1700000000.5


def test_a_message_expires_when_it_is_older_than_the_expiry(operations):
    assert not operations.is_expired(Taken(b"p:a", b"m", 60.0, b"1"))
    assert operations.is_expired(Taken(b"p:a", b"m", 60.000001, b"1"))


def test_giving_back_keeps_the_score_to_the_last_digit(operations):
    call = script_call(*commands(operations.requeue(Taken(b"p:a", b"m", 1.0, b"1700000000.1234567")).packed))
    assert named(scripts.REQUEUE, call) == {
        "queue": b"p:a",
        "member": b"m",
        "score": b"1700000000.1234567",
        "ttl": b"60000",
    }


def test_adding_to_a_group_names_the_full_channel(operations):
    call = script_call(*commands(operations.group_add("chat", "p!x").packed))
    assert named(scripts.GROUP_ADD, call) == {
        "group": b"p::group:chat",
        "channel": b"p!x",
        "ttl": b"86400000",
    }


def test_discarding_from_a_group_is_one_plain_command(operations):
    operation = operations.group_discard("chat", "p!x")
    assert commands(operation.packed) == [[b"ZREM", b"p::group:chat", b"p!x"]]
    assert operation.read(1) is True
    assert operation.read(0) is False


def test_the_members_of_a_group_are_read_behind_the_removal_of_the_expired(operations):
    operation = operations.group_channels("chat")
    expire, read = commands(operation.packed)
    assert script_call(expire) == (scripts.GROUP_EXPIRE.sha, [b"p::group:chat"], [b"86400", b"2500"])
    assert read == [b"ZRANGE", b"p::group:chat", b"0", b"9999"]
    assert operation.replies == 2
    assert operation.read([[0, 2], [b"a", b"b"]]) == GroupMembers([b"a", b"b"], expired=False, more=False)
    assert operation.read([[3, 12], [b"a", b"b"]]) == GroupMembers([b"a", b"b"], expired=True, more=True)


@pytest.mark.parametrize("found", [[b"a", b"1", b"b", b"2.5"], [[b"a", 1.0], [b"b", 2.5]]])
def test_many_members_of_a_group_are_read_some_at_a_time_with_their_scores(operations, found):
    operation = operations.scan_group("chat", b"17")
    assert commands(operation.packed) == [[b"ZSCAN", b"p::group:chat", b"17", b"COUNT", b"2500"]]
    assert operation.read([b"0", found]) == (b"0", {b"a": 1.0, b"b": 2.5})
    assert operation.read([b"5", []]) == (b"5", {})


def test_channel_statistics_read_with_the_age_in_seconds(operations):
    operation = operations.channel_statistics(b"work")
    assert named(scripts.CHANNEL_STATISTICS, script_call(*commands(operation.packed))) == {
        "queue": b"p:work",
        "channel_counters": b"s:work",
        "expiry": b"60",
    }
    assert operation.read([4, 1, 7, 3, 2500000]) == (4, 1, 7, 3, 2.5)


def test_global_statistics_of_a_redis_without_any_are_zero(operations):
    operation = operations.global_statistics()
    fields = [b"messages_count", b"channel_full_count", b"messages_expired"]
    assert commands(operation.packed) == [[b"HMGET", KEYS.global_counters, *fields]]
    assert operation.read([None, None, None]) == (0, 0, 0)
    assert operation.read([b"12", b"3", b"4"]) == (12, 3, 4)


def test_expired_messages_are_counted_for_their_channels(operations):
    operation = operations.count_expired({b"p:work": 3, b"p:p!": 1})
    sha, keys, arguments = script_call(*commands(operation.packed))
    assert sha == scripts.COUNT_EXPIRED.sha
    assert keys == [b"s:work", b"s:p!", KEYS.global_counters]
    assert arguments == [b"3600", b"86400", b"3", b"1"]


def test_scan_unlink_client_id_and_unblock():
    assert commands(scan(b"17", b"p:*").packed) == [[b"SCAN", b"17", b"MATCH", b"p:*", b"COUNT", b"1000"]]
    assert scan(b"0", b"").read([b"0", [b"k"]]) == (b"0", [b"k"])
    assert commands(unlink([b"a", b"b"]).packed) == [[b"UNLINK", b"a", b"b"]]
    assert commands(client_id().packed) == [[b"CLIENT", b"ID"]]
    assert commands(unblock(42).packed) == [[b"CLIENT", b"UNBLOCK", b"42", b"ERROR"]]
