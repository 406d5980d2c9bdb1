"""What a monitor costs a Redis with many keys, and what it needs to be allowed."""

from __future__ import annotations

import re
import shlex
import time
from pathlib import Path

import pytest
import redis

import asgi_redis
from asgi_redis import RedisChannelLayer
from asgi_redis.embedded import RedisServer
from asgi_redis.monitor import Monitor

GUIDE = (Path(asgi_redis.__file__).parents[1] / "docs" / "howto" / "secure.rst").read_text()
CHANNELS = 20_000
OTHER_KEYS = 60_000
SLOW_MICROSECONDS = 2_000


@pytest.fixture
def full_server(fresh_redis_server):
    with redis.Redis.from_url(fresh_redis_server.url, protocol=2) as client:
        now = time.time()
        pipeline = client.pipeline(transaction=False)
        for number in range(CHANNELS):
            pipeline.zadd(f"asgic{number}", {f"{number:012}x": now for _ in range(1)})
        for number in range(OTHER_KEYS):
            pipeline.set(f"other:{number}", "x")
        pipeline.execute()
        client.config_resetstat()
    return fresh_redis_server


@pytest.mark.soak
def test_a_database_of_many_keys_is_not_held_up(full_server):
    layer = RedisChannelLayer(hosts=[full_server.url])
    with layer, redis.Redis.from_url(full_server.url, protocol=2) as client:
        began = time.monotonic()
        with Monitor(layer, interval=0.5) as monitor:
            shown = monitor.wait(lambda picture: picture["complete"], 50)
        seconds = time.monotonic() - began
        assert shown["complete"], shown["error"]
        assert abs(shown["totals"]["channels"] - CHANNELS) < CHANNELS / 100
        assert len(shown["channels"]) == 200
        commands = client.info("commandstats")
        assert "cmdstat_keys" not in commands
        # The average: on a busy machine, a single command may wait for the processor.
        slow = {
            name: one["usec_per_call"] for name, one in commands.items() if one["usec_per_call"] > SLOW_MICROSECONDS
        }
        assert slow == {}
        busy = sum(command["usec"] for command in commands.values()) / 1e6
        assert busy < 0.1 * seconds


def user_who_looks():
    """The rules of the guide's user."""
    (rule,) = re.findall(r"ACL SETUSER eyes (.+?[^\\])\n", GUIDE, re.DOTALL)
    return ["eyes", *shlex.split(rule.replace("\\\n", " "))]


@pytest.fixture(scope="module")
def guarded_server():
    with RedisServer() as server, redis.Redis.from_url(server.url, protocol=2) as client:
        client.execute_command("ACL", "SETUSER", *user_who_looks())
        yield server


def test_a_user_who_may_only_read_sees_everything(guarded_server):
    layer = RedisChannelLayer(hosts=[guarded_server.url])
    layer.send("work", {})
    layer.group_add("room", "websocket.send.p1!x")
    layer.delayed.send("later", {}, 60)
    layer.registry.report("w", {"role": "worker", "channels": ["work"]})
    url = f"redis://eyes:eyes-password@{guarded_server.host}:{guarded_server.port}"
    with layer, RedisChannelLayer(hosts=[url]) as eyes, Monitor(eyes, interval=0.1) as monitor:
        shown = monitor.wait(lambda picture: picture["totals"].get("in_per_second") is not None, 20)
    assert shown["error"] == ""
    assert (shown["channels"][0]["messages_count"], shown["channels"][0]["readers"]) == (1, 1)
    assert shown["groups"] == [{"group": "room", "members": 1, "processes": 1}]
    assert shown["delayed"]["messages"] == 1
    assert shown["servers"][0]["role"] == "master"
    with redis.Redis.from_url(guarded_server.url, protocol=2) as client:
        # redis-py tells its version, and does without where it may not.
        refused = {entry["object"] for entry in client.acl_log()} - {"client|setinfo"}
        assert refused == set()


def test_members_that_such_a_user_may_not_expire_leave_the_number_of_processes_open(guarded_server):
    layer = RedisChannelLayer(hosts=[guarded_server.url], group_expiry=3600)
    layer.group_add("old", "websocket.send.p1!x")
    with redis.Redis.from_url(guarded_server.url, protocol=2) as client:
        client.zadd("asgi:group:old", {"websocket.send.p2!x": 1.0})
    url = f"redis://eyes:eyes-password@{guarded_server.host}:{guarded_server.port}"
    with layer, RedisChannelLayer(hosts=[url], group_expiry=3600) as eyes, Monitor(eyes, interval=0.1) as monitor:
        shown = monitor.wait(lambda picture: picture["complete"], 20)
    assert shown["error"] == ""
    assert {row["group"]: row["processes"] for row in shown["groups"]}["old"] is None
