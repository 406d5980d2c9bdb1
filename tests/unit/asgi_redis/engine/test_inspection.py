"""``layer.inspector`` on Redis servers: what it finds, leaves alone, and survives."""

from __future__ import annotations

import contextlib
import logging
import re
import shlex
import threading
import time
from collections import Counter
from pathlib import Path

import pytest
import redis

import asgi_redis
from asgi_redis import RedisChannelLayer, RedisPubSubChannelLayer, RedisSentinelChannelLayer
from asgi_redis.exceptions import InvalidName
from asgi_redis.wire.message import TRACE_KEY
from tests.support import servers

KINDS = {"plain": {}, "encrypted": {"symmetric_encryption_keys": ["key"]}, "JSON": {"serializer_format": "json"}}
READ_ONLY = ("+@read", "+ping", "+info", "+time")


@pytest.fixture
def layer(layer_for, redis_server):
    return layer_for(redis_server)


@pytest.fixture
def client(redis_server):
    with redis.Redis(port=redis_server.port, protocol=2) as found:
        yield found


def swept(layer):
    """Return all queues and all groups of a sweep, with their sizes added up."""
    queues, groups = Counter(), Counter()
    for found in layer.inspector.sweep():
        for totals, numbers in ((queues, found.queues), (groups, found.groups)):
            for name, number in numbers.items():
                totals[name] += number
    return queues, groups


def swept_before_an_error(layer, error):
    """Return the queues that a sweep has found before it raises an error."""
    found = {}

    def sweep():
        for step in layer.inspector.sweep():
            found.update(step.queues)

    with pytest.raises(error):
        sweep()
    return found


def fill(layer):
    for number in range(10):
        layer.send("work", {"number": number})
    layer.send("specific.one!x", {"number": 1})
    layer.send("single?x", {"number": 2})
    for member in ("work", "specific.one!x", "specific.one!y"):
        layer.group_add("chat", member)
    layer.delayed.send("work", {"number": 3}, 100)
    layer.delayed.send("specific.one!x", {"number": 4}, 50)


def snapshot(client, prefix):
    """Return all that is under a prefix, byte for byte."""
    return {key: client.dump(key) for key in client.scan_iter(f"{prefix}*")}


# The sweep


def test_a_sweep_finds_all_queues_and_groups_with_their_sizes(layer):
    fill(layer)
    assert swept(layer) == ({"work": 10, "specific.one!": 1, "single?x": 1}, {"chat": 3})


def test_a_sweep_adds_up_the_shards_of_a_channel(layer_for, three_redis_servers):
    layer = layer_for(*three_redis_servers)
    fill(layer)
    with contextlib.ExitStack() as stack:
        clients = [stack.enter_context(redis.Redis(port=one.port, protocol=2)) for one in three_redis_servers]
        assert sum(bool(client.exists(f"{layer.prefix}work")) for client in clients) > 1
    assert swept(layer) == ({"work": 10, "specific.one!": 1, "single?x": 1}, {"chat": 3})


def test_a_queue_on_a_shard_where_the_layer_does_not_look_is_not_found(layer_for, three_redis_servers):
    layer = layer_for(*three_redis_servers)
    wrong = three_redis_servers[(layer.consistent_hash("single?x") + 1) % 3]
    with redis.Redis(port=wrong.port, protocol=2) as client:
        client.zadd(f"{layer.prefix}single?x", {"member": 1})
        client.zadd(f"{layer.prefix}:group:chat", {"member": 1})
    found = swept(layer)[0]
    assert found == {}


def test_a_queue_that_is_empty_is_found_by_its_counters(layer_for, redis_server, prefix):
    for stats_prefix in (f"{prefix}-meta:", f"apart-{prefix}:"):
        layer = layer_for(redis_server, stats_prefix=stats_prefix)
        for channel in ("work", "specific.one!x", "single?x"):
            layer.send(channel, {})
        while layer.receive(["work", "specific.one!", "single?x"])[0]:
            pass
        assert swept(layer) == ({"work": 0, "specific.one!": 0}, {})
        layer.send("work", {})
        assert swept(layer) == ({"work": 1, "specific.one!": 0}, {})
        layer.flush()


def test_keys_of_others_do_not_disturb_a_sweep(layer, client):
    layer.send("work", {})
    prefix = layer.prefix
    client.set(f"{prefix}text", "x")
    client.hset(f"{prefix}hash", "field", "x")
    client.rpush(f"{prefix}:group:list", "x")
    client.zadd(f"{prefix}work$inflight", {"x": 1})
    client.zadd(f"{prefix}2:group:other", {"x": 1})
    client.zadd(f"other{prefix}", {"x": 1})
    client.set(f"{prefix}\xff", "x")
    assert swept(layer) == ({"work": 1}, {})


def test_a_sweep_goes_through_many_keys_in_small_steps(layer, client):
    pipeline = client.pipeline(transaction=False)
    for number in range(3000):
        pipeline.zadd(f"{layer.prefix}channel.{number}", {"x": 1})
    pipeline.execute()
    steps = list(layer.inspector.sweep())
    assert len(steps) >= 5
    assert {queue for found in steps for queue in found.queues} == {f"channel.{number}" for number in range(3000)}


def test_a_shard_that_is_away_costs_only_its_own_queues(layer_for, redis_server, three_fresh_redis_servers):
    away = three_fresh_redis_servers[0]
    layer = layer_for(away, redis_server)
    names = [f"one?{number}" for number in range(20)]
    for name in names:
        layer.send(name, {})
    for _ in range(4):
        layer.send("work", {})
    left = {name for name in names if layer.consistent_hash(name) == 1}
    away.kill()
    assert swept_before_an_error(layer, redis.ConnectionError) == {**dict.fromkeys(left, 1), "work": 2}


def test_a_shard_that_hangs_costs_a_sweep_a_second(layer_for, redis_server, fresh_redis_server):
    layer = layer_for(redis_server, fresh_redis_server)
    for _ in range(4):
        layer.send("work", {})
    servers.pause(fresh_redis_server)
    began = time.monotonic()
    found = swept_before_an_error(layer, redis.TimeoutError)
    took = time.monotonic() - began
    servers.resume(fresh_redis_server)
    assert found == {"work": 2}
    assert took < 10


# Servers


def test_the_servers_tell_of_themselves_by_the_names_of_the_hosts(layer_for, three_redis_servers):
    layer = layer_for(*three_redis_servers)
    facts = layer.inspector.servers()
    assert [one.name for one in facts] == layer.hosts
    for one in facts:
        assert not one.error
        assert 0 < one.latency < 5
        assert one.role == "master"
        assert one.version == three_redis_servers[0].version
        assert one.used_memory > 100_000
        assert one.clients > 0


def test_the_limit_of_memory_and_blocked_clients_are_told(layer_for, fresh_redis_server, eventually):
    layer = layer_for(fresh_redis_server)
    with redis.Redis(port=fresh_redis_server.port, protocol=2) as client:
        client.config_set("maxmemory", 100_000_000)
    assert layer.inspector.servers()[0].max_memory == 100_000_000
    receiving = threading.Thread(target=layer.receive, args=(["work"], True))
    receiving.start()
    eventually(lambda: layer.inspector.servers()[0].blocked_clients == 1)
    layer.unblock()
    receiving.join()


def test_servers_that_are_away_or_hang_have_an_error_and_hold_up_no_other(
    layer_for, redis_server, three_fresh_redis_servers
):
    away, hung, other_hung = three_fresh_redis_servers
    layer = layer_for(away, hung, redis_server, other_hung)
    layer.global_statistics()
    away.kill()
    for server in (hung, other_hung):
        servers.pause(server)
    hurried = layer.inspector.servers(0.1)
    began = time.monotonic()
    facts = layer.inspector.servers()
    took = time.monotonic() - began
    for server in (hung, other_hung):
        servers.resume(server)
    assert [bool(one.error) for one in facts] == [True, True, False, True]
    assert [one.name for one in facts] == layer.hosts
    assert took < 2
    assert hurried[1].error == hurried[3].error == "no answer within 0.1 s"


def test_an_error_of_a_server_has_no_password(acl_server):
    url = f"redis://{servers.ACL_USER}:secret@{acl_server.host}:{acl_server.port}"
    with RedisChannelLayer(hosts=[url]) as layer:
        (facts,) = layer.inspector.servers()
    assert "does not take the user name or password" in facts.error
    assert "secret" not in str(facts)


def test_a_layer_over_sentinels_shows_its_master(sentinel, prefix):
    with RedisSentinelChannelLayer(
        hosts=sentinel.sentinels, services=[sentinel.master_name], prefix=prefix, stats_prefix=f"{prefix}-meta:"
    ) as layer:
        fill(layer)
        (facts,) = layer.inspector.servers()
        assert (facts.name, facts.error, facts.role) == (layer.hosts[0], "", "master")
        assert swept(layer)[0]["work"] == 10
        assert layer.inspector.purge("work") == 10


def test_a_layer_over_pub_sub_has_servers_and_nothing_else(redis_server, prefix):
    with RedisPubSubChannelLayer(hosts=[redis_server.url], prefix=prefix) as layer:
        layer.send("work", {})
        inspector = layer.inspector
        (facts,) = inspector.servers()
        assert (facts.error, facts.role) == ("", "master")
        assert list(inspector.sweep()) == []
        assert inspector.delayed(5) == (0, 0, None, [])
        assert inspector.peek("work", 5) == []
        assert inspector.purge("work") == 0
        with pytest.raises(InvalidName):
            inspector.peek("no name", 5)


# Delayed messages


@pytest.mark.parametrize("settings", KINDS.values(), ids=KINDS)
def test_delayed_messages_are_told_by_channel_and_time(layer_for, three_redis_servers, settings):
    layer = layer_for(*three_redis_servers, **settings)
    assert layer.inspector.delayed(5) == (0, 0, None, [])
    for seconds in (300, 100, 200):
        layer.delayed.send(f"work.{seconds}", {"x": 1}, seconds)
    facts = layer.inspector.delayed(2)
    assert (facts.messages, facts.waiting_for_room) == (3, 0)
    assert 90 < facts.next_due < 100
    assert [channel for channel, _ in facts.first] == ["work.100", "work.200"]
    assert facts.first[0][1] == pytest.approx(facts.next_due, abs=1)
    assert layer.inspector.delayed() == (3, 0, pytest.approx(facts.next_due, abs=5), [])


def test_delayed_messages_that_are_due_are_below_zero_and_then_wait_for_room(layer_for, redis_server):
    layer = layer_for(redis_server, capacity=1)
    for channel in ("work", "other"):
        layer.send(channel, {})
        for _ in range(3):
            layer.delayed.send(channel, {}, 0)
    assert layer.inspector.delayed().next_due < 0
    layer.delayed.deliver()
    assert layer.inspector.delayed()[:3] == (0, 6, None)


def test_garbage_among_the_delayed_messages_has_no_name(layer, client, caplog):
    client.zadd(f"{layer.prefix}:delayed", {b"garbage": time.time() + 10})
    assert [name for name, _ in layer.inspector.delayed(5).first] == [""]
    assert caplog.records == []
    assert client.zcard(f"{layer.prefix}:delayed") == 1


# Messages


def test_peek_shows_the_oldest_messages_and_leaves_them(layer, client):
    fill(layer)
    before = snapshot(client, layer.prefix)
    messages = layer.inspector.peek("work", 3, content=True)
    assert [one.content for one in messages] == [{"number": number} for number in range(3)]
    assert {one.channel for one in messages} == {"work"}
    assert messages[0].age >= messages[1].age >= messages[2].age >= 0
    assert messages[0].age < 60
    assert messages[0].size == len(layer.serialize({"number": 0})) - layer.random_prefix_length
    assert len(layer.inspector.peek("work", 1000)) == 10
    assert layer.inspector.peek("empty", 1000) == []
    assert snapshot(client, layer.prefix) == before


@pytest.mark.parametrize("settings", KINDS.values(), ids=KINDS)
def test_the_content_is_shown_only_when_asked_for(layer_for, redis_server, settings):
    layer = layer_for(redis_server, **settings)
    fill(layer)
    layer.send_group("chat", {"number": 5})
    assert {one.content for one in layer.inspector.peek("work", 3)} == {None}
    plain = layer.inspector.peek("specific.one!", 5)
    assert [(one.channel, one.content) for one in plain] == [("specific.one!", None)] * 2
    decoded = layer.inspector.peek("specific.one!", 5, content=True)
    assert [(one.channel, one.content) for one in decoded] == [
        ("specific.one!x", {"number": 1}),
        ("specific.one!", {"number": 5}),  # for two channels
    ]


def test_the_context_of_a_trace_is_no_content(layer):
    layer.send("work", {"number": 1, TRACE_KEY: {"traceparent": "x"}})
    assert [one.content for one in layer.inspector.peek("work", 1, content=True)] == [{"number": 1}]


def test_peek_merges_the_shards_by_age(layer_for, three_redis_servers):
    layer = layer_for(*three_redis_servers)
    fill(layer)
    messages = layer.inspector.peek("work", 100, content=True)
    assert sorted(one.content["number"] for one in messages) == list(range(10))
    assert [one.age for one in messages] == sorted((one.age for one in messages), reverse=True)
    assert len(layer.inspector.peek("work", 4)) == 4


def test_peek_leaves_out_what_has_expired(layer, client):
    layer.send("work", {"number": 1})
    client.zadd(f"{layer.prefix}work", {b"expired": time.time() - layer.expiry - 5})
    assert [one.content for one in layer.inspector.peek("work", 5, content=True)] == [{"number": 1}]


def test_garbage_has_no_content_and_is_neither_counted_nor_logged(layer, client, caplog):
    client.zadd(f"{layer.prefix}work", {b"g" * 20: time.time()})
    client.zadd(f"{layer.prefix}p!", {b"g" * 20: time.time()})
    with caplog.at_level(logging.DEBUG):
        for queue in ("work", "p!"):
            (message,) = layer.inspector.peek(queue, 5, content=True)
            assert message[0:1] + message[2:] == (queue, 20 - layer.random_prefix_length, None)
    assert layer.undecodable_count == 0
    assert caplog.records == []


def test_large_messages_come_a_few_at_a_time(layer, client):
    for number in range(20):
        layer.send("large", {"number": number, "data": "x" * 200_000})
    client.config_resetstat()
    messages = layer.inspector.peek("large", 20, content=True)
    assert [one.content["number"] for one in messages] == list(range(20))
    assert client.info("commandstats")["cmdstat_zrangebyscore"]["calls"] > 10


@pytest.mark.parametrize("channel", ["no name", "p!x", "one?", 7])
def test_a_name_that_cannot_be_received_from_cannot_be_looked_at(layer, channel):
    for call in (lambda: layer.inspector.peek(channel, 1), lambda: layer.inspector.purge(channel)):
        with pytest.raises(InvalidName):
            call()


def test_a_key_of_another_type_is_an_error_with_its_name(layer, client):
    client.set(f"{layer.prefix}:delayed", "x")
    with pytest.raises(redis.ResponseError, match=rf"WRONGTYPE key '{layer.prefix}:delayed' .* is a string"):
        layer.inspector.delayed()
    client.set(f"{layer.prefix}work", "x")
    for call in (lambda: layer.inspector.peek("work", 1), lambda: layer.inspector.purge("work")):
        with pytest.raises(redis.ResponseError, match=rf"WRONGTYPE key '{layer.prefix}work' .* is a string"):
            call()
    assert client.get(f"{layer.prefix}work") == b"x"


# Purge


def test_purge_deletes_the_messages_and_leaves_counters_and_others(layer_for, three_redis_servers):
    layer = layer_for(*three_redis_servers)
    fill(layer)
    assert layer.inspector.purge("work") == 10
    assert layer.inspector.purge("work") == 0
    assert layer.receive(["work"]) == (None, None)
    assert layer.channel_statistics("work")["messages_count"] == 10
    assert layer.inspector.delayed().messages == 2
    assert layer.inspector.purge("specific.one!") == 1
    assert layer.receive(["single?x"]) == ("single?x", {"number": 2})


def test_purge_does_not_count_what_has_expired(layer, client):
    layer.send("work", {})
    client.zadd(f"{layer.prefix}work", {b"expired": time.time() - layer.expiry - 5})
    assert layer.inspector.purge("work") == 1
    assert not client.exists(f"{layer.prefix}work")


# Protocol and time


def test_resp_3_shows_the_same(layer_for, redis_server):
    layer = layer_for(redis_server, connection_kwargs={"protocol": 3})
    fill(layer)
    assert layer.inspector.servers()[0].role == "master"
    assert swept(layer)[0] == {"work": 10, "specific.one!": 1, "single?x": 1}
    facts = layer.inspector.delayed(2)
    assert (facts.messages, [channel for channel, _ in facts.first]) == (2, ["specific.one!x", "work"])
    assert [one.content for one in layer.inspector.peek("work", 2, content=True)] == [{"number": 0}, {"number": 1}]
    assert layer.inspector.purge("work") == 10


def test_looking_at_a_server_that_hangs_takes_a_second(layer_for, fresh_redis_server):
    layer = layer_for(fresh_redis_server)
    fill(layer)
    servers.pause(fresh_redis_server)
    for look in (layer.inspector.delayed, lambda: layer.inspector.peek("work", 1)):
        began = time.monotonic()
        with pytest.raises((redis.ConnectionError, redis.TimeoutError)):
            look()
        assert time.monotonic() - began < 5
    servers.resume(fresh_redis_server)


# Users without write access


@pytest.fixture
def reading_layer_for(acl_server, prefix):
    """``reading_layer_for(*rules)``: a layer of a user with such rights, on keys that another user has filled."""
    host = {"host": acl_server.host, "port": acl_server.port}
    admin = {**host, "username": servers.ACL_USER, "password": servers.ACL_PASSWORD}
    settings = {"prefix": prefix, "stats_prefix": f"{prefix}-meta:"}
    name = f"reader.{prefix}"
    with contextlib.ExitStack() as stack:
        client = stack.enter_context(redis.Redis(**admin, protocol=2))
        fill(stack.enter_context(RedisChannelLayer(hosts=[admin], **settings)))

        def make(*rules):
            client.execute_command("ACL", "SETUSER", name, "on", ">pw", *rules)
            stack.callback(client.execute_command, "ACL", "DELUSER", name)
            user = {**host, "username": name, "password": "pw"}
            return stack.enter_context(RedisChannelLayer(hosts=[user], **settings))

        yield make


def test_the_user_of_the_guide_sees_everything_and_changes_nothing(reading_layer_for, prefix):
    guide = Path(asgi_redis.__file__).parents[1] / "docs" / "howto" / "secure.rst"
    (rule,) = re.findall(r"ACL SETUSER eyes (.+?[^\\])\n", guide.read_text(), re.DOTALL)
    words = shlex.split(rule.replace("\\\n", " "))
    layer = reading_layer_for(f"~{prefix}*", *(word for word in words if word[0] in "+-"))
    assert swept(layer) == ({"work": 10, "specific.one!": 1, "single?x": 1}, {"chat": 3})
    assert layer.channel_statistics("work")["messages_pending"] == 10
    assert layer.global_statistics()["messages_count"] == 12
    assert layer.group_count("chat") == 3
    assert layer.registry.processes() == []
    for change in (
        lambda: layer.inspector.purge("work"),
        lambda: layer.send("work", {}),
        lambda: layer.receive(["work"]),
        lambda: layer.group_discard("chat", "work"),
    ):
        with pytest.raises(redis.ResponseError):
            change()
    assert swept(layer) == ({"work": 10, "specific.one!": 1, "single?x": 1}, {"chat": 3})


def test_a_user_without_write_access_sees_everything(reading_layer_for, acl_server, prefix):
    keys = f"%R~{prefix}*" if int(acl_server.version.split(".")[0]) >= 7 else f"~{prefix}*"
    reading_layer = reading_layer_for(keys, *READ_ONLY)
    (facts,) = reading_layer.inspector.servers()
    assert (facts.error, facts.role) == ("", "master")
    assert facts.used_memory > 0
    assert swept(reading_layer) == ({"work": 10, "specific.one!": 1, "single?x": 1}, {"chat": 3})
    assert reading_layer.inspector.delayed(1).first[0][0] == "specific.one!x"
    assert [one.content for one in reading_layer.inspector.peek("work", 2, content=True)] == [
        {"number": 0},
        {"number": 1},
    ]
    with pytest.raises(redis.exceptions.NoPermissionError):
        reading_layer.inspector.purge("work")


def test_a_user_who_may_not_ask_for_info_has_the_latency(acl_server):
    host = {"host": acl_server.host, "port": acl_server.port}
    with redis.Redis(**host, username=servers.ACL_USER, password=servers.ACL_PASSWORD, protocol=2) as client:
        client.execute_command("ACL", "SETUSER", "pinger", "on", ">pw", "+ping")
        with RedisChannelLayer(hosts=[{**host, "username": "pinger", "password": "pw"}]) as layer:
            (facts,) = layer.inspector.servers()
        client.execute_command("ACL", "DELUSER", "pinger")
    assert (facts.error, facts.role) == ("", "")
    assert facts.latency > 0
