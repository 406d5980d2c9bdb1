"""The edge of expiry, in Python and in each script that drops or counts what has expired, on a real Redis."""

from __future__ import annotations

import re

import pytest
import redis

from asgi_redis.wire import scripts
from asgi_redis.wire.expiry import is_expired, is_over

NOW, EXPIRY = 1000, 60
EDGE = NOW - EXPIRY  # the score of what is exactly as old as expiry
AGES = {"older": (EDGE - 0.25, True), "exactly as old": (EDGE, False), "younger": (EDGE + 0.25, False)}
SENDING = (EXPIRY, 60000, 3600, 86400)


@pytest.fixture
def client(redis_server, prefix):
    with redis.Redis(port=redis_server.port, protocol=2) as found:
        yield found


def run(client, script, keys, *arguments):
    """Run a script whose clock stands at NOW."""
    text, clocks = re.subn(rb"call\('TIME'\)", b"{'%d', '0'}" % NOW, script.text)
    assert clocks == 1
    return client.eval(text, len(keys), *keys, *arguments)


def send(client, queue):
    """Send to a queue with a capacity of 1: there is room once the message in it has expired."""
    return run(client, scripts.SEND, [queue, queue + "c", queue + "g"], 1, *SENDING, "1", "m") == 1


def send_once(client, queue):
    keys = [queue + "s", queue, queue + "c", queue + "g"]
    return run(client, scripts.SEND_ONCE, keys, 1, *SENDING, "1", "1", "m") == 1


def send_group(client, queue):
    return run(client, scripts.SEND_GROUP, [queue, queue + "c", queue + "g"], *SENDING, "1", "m", "", 1) == []


def send_known_group(client, queue):
    client.zadd(queue + "m", {"a!x": NOW})
    keys = [queue, queue + "c", queue + "g", queue + "m"]
    return run(client, scripts.SEND_KNOWN_GROUP, keys, *SENDING, "1", "m", "", 1, "a!x", 1, EXPIRY) == []


def send_to_a_group_that_is_known(client, group):
    client.zadd(group, {"second": NOW})
    keys = [group + "q", group + "c", group + "g", group]
    return run(client, scripts.SEND_KNOWN_GROUP, keys, *SENDING, "1", "m", "", 1, "first\nsecond", 2, EXPIRY) == 0


def deliver_delayed(client, queue):
    client.zadd(queue + "d", {"kept": 1})
    keys = [queue + "d", queue + "w", queue, queue + "c", queue + "g"]
    return run(client, scripts.DELIVER_DELAYED, keys, 1, *SENDING, "kept", "m") == 1


def receive(client, queue):
    return run(client, scripts.RECEIVE, [queue], EXPIRY, 1)[0] == 0


def receive_behind_a_flood(client, queue):
    """Receive where more has expired than one script drops."""
    client.zadd(queue, {b"%d" % number + b"x" * (1 << 19): number + 1 for number in range(4)})
    members = run(client, scripts.RECEIVE, [queue], EXPIRY, 1)
    return b"first" not in members


def channel_statistics(client, queue):
    return run(client, scripts.CHANNEL_STATISTICS, [queue, queue + "c"], EXPIRY)[0] == 0


def purge(client, queue):
    return run(client, scripts.PURGE, [queue], EXPIRY) == 0


def group_expire(client, group):
    return run(client, scripts.GROUP_EXPIRE, [group], EXPIRY, 10) == 0 and client.zcard(group) == 0


def group_count(client, group):
    return run(client, scripts.GROUP_COUNT, [group], EXPIRY) == 0


CALLS = (
    send,
    send_once,
    send_group,
    send_known_group,
    send_to_a_group_that_is_known,
    deliver_delayed,
    receive,
    receive_behind_a_flood,
    channel_statistics,
    purge,
    group_expire,
    group_count,
)


@pytest.mark.parametrize("age", AGES)
@pytest.mark.parametrize("call", CALLS, ids=lambda call: call.__name__)
def test_each_script_has_the_edge_of_the_rule(client, prefix, call, age):
    score, expired = AGES[age]
    assert is_expired(NOW - score, EXPIRY) is expired
    assert is_over(score + EXPIRY, NOW) is expired
    client.zadd(prefix, {"first": score})
    assert call(client, prefix) is expired


def test_every_script_that_knows_of_expiry_is_held_to_it():
    held = {call.__name__ for call in CALLS}
    every = [script for script in vars(scripts).values() if isinstance(script, scripts.Script)]
    # What adds a lease to it computes the score of a membership.
    assert {script.name for script in every if re.search(rb"- (group_)?expiry(?! \+)", script.text)} <= held
