"""Sends in requests for one key each: the same messages in the same queues, without counters."""

from __future__ import annotations

import pytest
import redis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from asgi_redis.connection import Server, Shard, parse_hosts
from asgi_redis.wire import (
    GroupParts,
    GroupSendOperations,
    Keys,
    SendOperations,
    StatisticsOperations,
    one_key_each,
    read_parts,
)
from tests.support.resp import commands


@pytest.fixture
def shard(redis_server):
    shard = Shard(Server(parse_hosts([redis_server.url])[0]))
    yield shard
    shard.drop_idle()


@pytest.fixture
def keys(prefix):
    return Keys(prefix, f"{prefix}-meta:")


def run_apart(shard, operation):
    return read_parts(operation, [shard.execute(part) for part in one_key_each(operation)])


@pytest.fixture
def client(redis_server):
    with redis.Redis(port=redis_server.port, protocol=2) as client:
        yield client


def test_each_request_has_one_key(keys):
    operations = GroupSendOperations(keys, 60)
    parts = GroupParts(0, False, [b"a", b"p!"], [[b"a"], [b"p!x", b"p!y"]], [1, 1])
    send = operations.send(operations.frame(parts, [b"1", b"2"], True), b"head")
    for part, queue in zip(one_key_each(send), (b"a", b"p!")):
        ((_, _, count, *words),) = commands(part.packed)
        assert words[: int(count)] == [keys.queue(queue)] * 3


def test_other_requests_have_no_parts(keys):
    assert one_key_each(StatisticsOperations(keys, 60).of_channel(b"a")) == []


def test_a_message_is_sent_within_the_capacity_and_not_counted(shard, keys, client, prefix):
    operations = SendOperations(keys, 60)
    head = operations.send_head(b"work", 2, count_full=True)
    outcomes = [run_apart(shard, operations.send(head, b"entry%d" % number)) for number in range(3)]
    assert outcomes == [True, True, False]
    assert client.zrange(f"{prefix}work", 0, -1) == [b"entry0", b"entry1"]
    assert client.keys(f"{prefix}*") == [f"{prefix}work".encode()]
    assert 0 < client.pttl(f"{prefix}work") <= 60_000


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(st.sampled_from(["room", "full", "wrong"]), st.binary(max_size=5)), min_size=1, max_size=6))
def test_a_group_send_apart_does_what_it_does_at_once(shard, client, keys, prefix, queues):
    """With queues that have room, that are full, and that are no queues."""
    operations, states = GroupSendOperations(keys, 60), []
    for run in (shard.execute, lambda operation: run_apart(shard, operation)):
        names = [b"q%d" % number for number in range(len(queues))]
        for number, (kind, _) in enumerate(queues):
            key = f"{prefix}q{number}"
            client.delete(key)
            if kind == "full":
                client.zadd(key, {"old": 9_999_999_999})
            elif kind == "wrong":
                client.set(key, "text")
        parts = GroupParts(0, False, names, [[name] for name in names], [1] * len(names))
        left_out = run(operations.send(operations.frame(parts, [tail for _, tail in queues], True), b"head"))
        contents = [
            client.zrange(f"{prefix}q{number}", 0, -1) if kind != "wrong" else client.get(f"{prefix}q{number}")
            for number, (kind, _) in enumerate(queues)
        ]
        states.append((left_out, contents))
    assert states[0] == states[1]


def test_a_queue_without_a_share_of_the_capacity_is_full_and_not_made(shard, keys, client, prefix):
    """The counter of refusals must not come into being in its place."""
    send = SendOperations(keys, 60).send(SendOperations(keys, 60).send_head(b"work", 0, count_full=True), b"entry")
    assert run_apart(shard, send) is False
    operations = GroupSendOperations(keys, 60)
    parts = GroupParts(0, False, [b"room", b"work"], [[b"room"], [b"work"]], [1, 0])
    assert run_apart(shard, operations.send(operations.frame(parts, [b"1", b"2"], True), b"head")) == [parts.part(1)]
    assert client.keys(f"{prefix}*") == [f"{prefix}room".encode()]
