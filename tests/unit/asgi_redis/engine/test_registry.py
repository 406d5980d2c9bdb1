"""The registry of a layer: entries, requests, shards that are away."""

from __future__ import annotations

import contextlib
import math
import time

import pytest
import redis

from asgi_redis import RedisClusterChannelLayer
from asgi_redis.wire import shard_of
from tests.support.clusters import run_single_node_cluster


def names(registry):
    return [entry.process for entry in registry.processes()]


def names_on(shard, shards, number):
    """Returns some names of processes whose entries are on one of the shards."""
    found = (f"process{n}" for n in range(1000) if shard_of(f"process{n}".encode(), shards) == shard)
    return [next(found) for _ in range(number)]


@pytest.fixture
def registry(layer_for, redis_server):
    return layer_for(redis_server).registry


@pytest.fixture
def client(redis_server):
    with redis.Redis(port=redis_server.port, protocol=2) as client:
        yield client


def test_an_entry_is_the_last_report_and_its_age(registry):
    registry.report("b", {"n": 1})
    registry.report("a", {"n": 2, "text": "é"})
    registry.report("b", {"n": 3})
    first, second = registry.processes()
    assert (first.process, first.report) == ("a", {"n": 2, "text": "é"})
    assert (second.process, second.report) == ("b", {"n": 3})
    assert 0 <= second.age <= first.age < 5


def test_an_entry_lives_15_seconds_and_leaves_nothing(registry, client, prefix):
    registry.report("a", {})
    registry.ask("a", "quiet")
    ttls = {key: client.ttl(key) for key in client.scan_iter(f"{prefix}*")}
    assert len(ttls) == 3
    assert all(13 <= ttl <= 15 for ttl in ttls.values()), ttls


def test_an_expired_entry_is_gone_from_the_list_with_the_next_report(registry, client, prefix):
    registry.report("a", {})
    registry.report("b", {})
    client.delete(f"{prefix}:process:a")  # as by its TTL
    assert names(registry) == ["b"]
    client.zadd(f"{prefix}:processes", {"a": client.time()[0] - 15.5})
    registry.report("b", {})
    assert client.zrange(f"{prefix}:processes", 0, -1) == [b"b"]


def test_a_process_that_withdraws_leaves_no_key(registry, client, prefix):
    registry.report("a", {})
    registry.ask("a", "quiet")
    registry.withdraw("a")
    assert names(registry) == []
    assert list(client.scan_iter(f"{prefix}*")) == []


def test_a_request_is_handed_out_once_and_only_to_processes_that_are_there(registry):
    assert not registry.ask("a", "quiet")
    registry.report("a", {})
    assert registry.ask("a", "quiet")
    assert registry.report("b", {}) is None
    assert registry.report("a", {}) == "quiet"
    assert registry.report("a", {}) is None


def test_entries_of_other_programs_are_left_out(registry, client, prefix):
    registry.report("a", {})
    numbers = (b'{"busy": %s}' % number for number in (b"NaN", b"-Infinity", b"1e999", b"9" * 400))
    for name, text in enumerate((b"\xff", b"[1]", b"nonsense", b"[" * 100_000, *numbers)):
        client.set(f"{prefix}:process:{name}", text)
        client.zadd(f"{prefix}:processes", {name: client.time()[0]})
    assert names(registry) == ["a"]


def test_scores_of_other_programs_are_ages_that_json_can_express(registry, client, prefix):
    registry.report("a", {})
    client.zadd(f"{prefix}:processes", {"a": float("-inf")})
    (entry,) = registry.processes()
    assert math.isfinite(entry.age)


def test_a_thousand_processes_are_listed_in_few_requests(layer_for, redis_server, client):
    registry = layer_for(redis_server).registry
    for n in range(1000):
        registry.report(f"p{n:04}", {"n": n})
    before = (
        client.info("commandstats")["cmdstat_mget"]["calls"] if "cmdstat_mget" in client.info("commandstats") else 0
    )
    assert [entry.report["n"] for entry in registry.processes()] == [*range(1000)]
    assert client.info("commandstats")["cmdstat_mget"]["calls"] - before == 10


def test_a_report_is_one_round_trip_to_one_shard(layer_for, three_redis_servers, prefix):
    registry = layer_for(*three_redis_servers).registry
    for n in range(30):
        registry.report(f"process{n}", {})
    assert names(registry) == sorted(f"process{n}" for n in range(30))
    for shard, server in enumerate(three_redis_servers):
        with redis.Redis(port=server.port, protocol=2, decode_responses=True) as client:
            here = client.zrange(f"{prefix}:processes", 0, -1)
        assert here
        assert {shard_of(name.encode(), 3) for name in here} == {shard}


def test_a_process_whose_shard_is_away_reports_to_the_next_one(layer_for, three_fresh_redis_servers):
    registry, monitor = (layer_for(*three_fresh_redis_servers).registry for _ in range(2))
    (one,) = names_on(2, 3, 1)
    registry.report(one, {"n": 1})
    three_fresh_redis_servers[2].stop()
    with pytest.raises(redis.exceptions.ConnectionError):
        registry.report(one, {"n": 2})
    registry.report(one, {"n": 3})
    assert [(entry.process, entry.report["n"]) for entry in monitor.processes()] == [(one, 3)]
    assert monitor.ask(one, "quiet")
    assert registry.report(one, {"n": 4}) == "quiet"
    registry.withdraw(one)
    assert names(monitor) == []


def test_the_newer_of_two_entries_counts(layer_for, three_redis_servers):
    first, second = (layer_for(*three_redis_servers).registry for _ in range(2))
    first.report("a", {"n": 1})
    second._failures = 1
    second.report("a", {"n": 2})
    assert [entry.report for entry in first.processes()] == [{"n": 2}]


def test_an_error_where_no_server_can_be_reached(layer_for, fresh_redis_server):
    registry = layer_for(fresh_redis_server).registry
    registry.report("a", {})
    fresh_redis_server.stop()
    for call in (registry.processes, lambda: registry.ask("a", "quiet"), lambda: registry.report("a", {})):
        with pytest.raises(redis.exceptions.ConnectionError):
            call()


def test_on_a_cluster(prefix):
    with contextlib.ExitStack() as stack:
        cluster = stack.enter_context(run_single_node_cluster())
        layers = [
            stack.enter_context(RedisClusterChannelLayer(hosts=cluster.hosts, shards=3, prefix=prefix))
            for _ in range(2)
        ]
        for n in range(10):
            layers[0].registry.report(f"process{n}", {"n": n})
        assert names(layers[1].registry) == [f"process{n}" for n in range(10)]
        assert layers[1].registry.ask("process7", "quiet")
        assert layers[0].registry.report("process7", {}) == "quiet"
        layers[0].flush()
        assert names(layers[1].registry) == []


def test_a_server_that_hangs_is_waited_for_once_however_many_shards_it_has(prefix):
    with contextlib.ExitStack() as stack:
        cluster = stack.enter_context(run_single_node_cluster())
        layer = stack.enter_context(RedisClusterChannelLayer(hosts=cluster.hosts, shards=8, prefix=prefix))
        assert layer.registry.processes() == []
        cluster.pause(cluster.nodes[0])
        stack.callback(cluster.resume, cluster.nodes[0])
        started = time.monotonic()
        with pytest.raises(redis.exceptions.RedisError):
            layer.registry.processes()
        assert time.monotonic() - started < 8  # twice that where it is waited for again and again
