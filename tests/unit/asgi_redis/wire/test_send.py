"""A send as bytes, the reading of its reply, and the score that Redis gives to it."""

from __future__ import annotations

import re

import pytest
import redis

from asgi_redis.wire import Keys, SendOperations, scripts
from tests.support.resp import commands, named, script_call

KEYS = Keys("p:", "s:")


@pytest.fixture
def operations():
    return SendOperations(KEYS, 60)


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
    operations = SendOperations(KEYS, 0.0001)
    call = script_call(*commands(operations.send(operations.send_head(b"work", 7, True), b"m").packed))
    assert named(scripts.SEND, call)["ttl"] == b"1"


@pytest.mark.parametrize("microseconds", [0, 7, 42, 99_999, 100_000, 999_999])
def test_the_score_is_the_clock_of_redis_to_the_last_bit(redis_server, prefix, microseconds):
    clock = b"{'1764373742', '%d'}" % microseconds
    text, clocks = re.subn(rb"call\('TIME'\)", clock, scripts.SEND.text)
    assert clocks == 1
    with redis.Redis(port=redis_server.port, protocol=2) as client:
        client.eval(text, 3, prefix, f"{prefix}c", f"{prefix}g", 1, 60, 60000, 3600, 86400, "1", "member")
        assert client.zscore(prefix, "member") == 1764373742 + microseconds / 1_000_000
