"""``layer.inspector`` on a Redis Cluster: shards on several nodes, which move and fail."""

from __future__ import annotations

import contextlib
import time
from collections import Counter

import pytest
import redis

from asgi_redis import RedisClusterChannelLayer, RedisPubSubChannelLayer
from asgi_redis.exceptions import ConfigurationError
from asgi_redis.wire.shards import shard_tag
from tests.support.clusters import of_redis_in_the_suite, slot_of

SHARDS = 5
NAMES = [f"one?{number}" for number in range(30)]
QUEUES = {"work": 10, "specific.one!": 1, **dict.fromkeys(NAMES, 1)}
READ_ONLY = ("+@read", "+ping", "+info", "+time", "+cluster|slots")


@pytest.fixture
def layer_on(prefix):
    """``layer_on(cluster, **settings)``: a layer that is closed in the end."""
    with contextlib.ExitStack() as stack:

        def make(cluster, **settings):
            settings = {"hosts": cluster.hosts, "shards": SHARDS, "prefix": prefix, **settings}
            return stack.enter_context(RedisClusterChannelLayer(**settings))

        yield make


def fill(layer):
    for _ in range(10):
        layer.send("work", {"text": "hello"})
    for name in ("specific.one!x", *NAMES):
        layer.send(name, {})
    for group in ("chat", "news"):
        layer.group_add(group, "specific.one!x")
    for seconds in (50, 60, 70, 80):
        layer.delayed.send("work", {}, seconds)


def count(steps):
    queues, groups = Counter(), Counter()
    for found in steps:
        queues.update(found.queues)
        groups.update(found.groups)
    return queues, groups


def test_all_shards_are_looked_at_on_all_nodes(layer_on, shared_masters):
    layer = layer_on(shared_masters)
    fill(layer)
    assert count(layer.inspector.sweep()) == (QUEUES, {"chat": 1, "news": 1})
    facts = layer.inspector.servers()
    assert sorted(one.name for one in facts) == sorted(shared_masters.urls)
    assert {(one.error, one.role) for one in facts} == {("", "master")}
    assert layer.inspector.delayed(1)[:2] == (4, 0)
    assert len(layer.inspector.peek("work", 100, content=True)) == 10
    assert layer.inspector.peek("specific.one!", 1, content=True)[0].channel == "specific.one!x"
    assert layer.inspector.purge("work") == 10


def test_a_node_is_scanned_once_for_all_its_shards(layer_on, fresh_single_node_cluster):
    layer = layer_on(fresh_single_node_cluster)
    fill(layer)
    fresh_single_node_cluster.run(fresh_single_node_cluster.nodes[0], "CONFIG", "RESETSTAT")
    assert count(layer.inspector.sweep())[0] == QUEUES
    with fresh_single_node_cluster.client() as client:
        assert client.info("commandstats")["cmdstat_scan"]["calls"] == 1


def test_queues_of_a_shard_that_moves_to_a_node_behind_the_sweep_are_found(layer_on, shared_masters, prefix):
    layer = layer_on(shared_masters)
    fill(layer)
    slots = [slot_of(shard_tag(prefix, number)) for number in range(SHARDS)]
    first = shared_masters.master_of(slots[0])
    steps = layer.inspector.sweep()
    found = [next(steps)]
    for slot in slots[1:]:
        if shared_masters.master_of(slot) is not first:
            shared_masters.move_slot(slot, first)
    assert count([*found, *steps]) == (QUEUES, {"chat": 1, "news": 1})


def test_looking_does_not_claim_the_number_of_shards(layer_on, shared_masters, prefix):
    layer = layer_on(shared_masters)
    assert count(layer.inspector.sweep()) == ({}, {})
    assert layer.inspector.peek("work", 1) == []
    assert layer.inspector.delayed() == (0, 0, None, [])
    with layer_on(shared_masters, shards=SHARDS - 1) as right:
        right.send("work", {})
    for look in (lambda: list(layer_on(shared_masters).inspector.sweep()), lambda: layer.inspector.purge("work")):
        with pytest.raises(ConfigurationError, match=f"shards is {SHARDS}, but other processes .* have {SHARDS - 1}"):
            look()


def test_a_user_without_write_access_sees_everything(layer_on, shared_masters, prefix):
    fill(layer_on(shared_masters))
    name = f"reader.{prefix}"
    keys = f"%R~{{{prefix}:*" if shared_masters.client().info()["redis_version"] >= "7" else f"~{{{prefix}:*"
    for node in shared_masters.nodes:
        shared_masters.run(node, "ACL", "SETUSER", name, "on", ">pw", keys, *READ_ONLY)
    layer = layer_on(shared_masters, connection_kwargs={"username": name, "password": "pw"})
    assert {one.error for one in layer.inspector.servers()} == {""}
    assert count(layer.inspector.sweep()) == (QUEUES, {"chat": 1, "news": 1})
    assert layer.inspector.delayed(1).first[0][0] == "work"
    assert layer.inspector.peek("work", 1, content=True)[0].content == {"text": "hello"}
    with pytest.raises(redis.exceptions.NoPermissionError):
        layer.inspector.purge("work")
    for node in shared_masters.nodes:
        shared_masters.run(node, "ACL", "DELUSER", name)


def test_a_user_whose_scripts_may_only_read_sees_processes_and_statistics(layer_on, shared_masters, prefix):
    layer = layer_on(shared_masters)
    fill(layer)
    layer.registry.report("process", {})
    name = f"eyes.{prefix}"
    for node in shared_masters.nodes:
        words = ("on", ">pw", f"~{{{prefix}:*", *READ_ONLY, "+eval", "+evalsha")
        shared_masters.run(node, "ACL", "SETUSER", name, *words)
    eyes = layer_on(shared_masters, connection_kwargs={"username": name, "password": "pw"})
    assert [entry.process for entry in eyes.registry.processes()] == ["process"]
    assert eyes.many_channel_statistics(["work"])["work"]["messages_pending"] == QUEUES["work"]
    for node in shared_masters.nodes:
        shared_masters.run(node, "ACL", "DELUSER", name)


def test_a_node_that_is_away_costs_only_its_own_shards(layer_on, three_masters, prefix):
    layer = layer_on(three_masters)
    fill(layer)
    away = three_masters.master_of(slot_of(shard_tag(prefix, 0)))
    lost = {n for n in range(SHARDS) if three_masters.master_of(slot_of(shard_tag(prefix, n))) is away}
    for node in three_masters.nodes:
        three_masters.run(node, "CONFIG", "SET", "cluster-require-full-coverage", "no")
    three_masters.kill(away)
    facts = {one.name: bool(one.error) for one in layer.inspector.servers()}
    assert facts == {node.url.removesuffix("/0"): node is away for node in three_masters.nodes}
    found = []
    with pytest.raises(redis.RedisError):
        found.extend(layer.inspector.sweep())
    queues = count(found)[0]
    assert {name for name in NAMES if layer.consistent_hash(name) not in lost} <= queues.keys()


@of_redis_in_the_suite
def test_a_master_that_is_replaced_is_shown_and_one_that_hangs_costs_a_second(layer_on, fresh_cluster, eventually):
    layer = layer_on(fresh_cluster)
    assert [one.error for one in layer.inspector.servers()] == [""] * 3
    gone, hung, _ = fresh_cluster.masters()
    (heir,) = fresh_cluster.replicas_of(gone)
    fresh_cluster.kill(gone)

    def masters():
        return {one.name.rpartition(":")[2] for one in layer.inspector.servers() if not one.error}

    eventually(lambda: str(heir.port) in masters() and str(gone.port) not in masters(), timeout=20)
    fresh_cluster.pause(hung)
    began = time.monotonic()
    facts = layer.inspector.servers()
    took = time.monotonic() - began
    fresh_cluster.resume(hung)
    assert {one.name.rpartition(":")[2]: bool(one.error) for one in facts}[str(hung.port)]
    assert [bool(one.error) for one in facts].count(True) == 1
    assert took < 4


def test_start_nodes_that_are_away_have_an_error_each():
    hosts = [("127.0.0.1", 1), ("127.0.0.1", 2)]
    with RedisClusterChannelLayer(hosts=hosts, shards=2) as layer:
        facts = layer.inspector.servers()
    assert [one.name for one in facts] == ["redis://127.0.0.1:1", "redis://127.0.0.1:2"]
    assert all("no node of the cluster" in one.error for one in facts)


def test_a_layer_over_sharded_pub_sub_shows_all_masters(shared_masters, prefix):
    with RedisPubSubChannelLayer(hosts=shared_masters.hosts, cluster=True, prefix=prefix) as layer:
        facts = layer.inspector.servers()
    assert sorted(one.name for one in facts) == sorted(shared_masters.urls)
    assert {one.error for one in facts} == {""}
