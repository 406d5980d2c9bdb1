"""The pipelines for requests to any slot of a cluster."""

from __future__ import annotations

import concurrent.futures
import threading
import time

import pytest
from redis.exceptions import RedisError

from asgi_redis.aio.loop_waker import BlockingResult
from asgi_redis.aio.slot_pipelines import SlotPipelines
from asgi_redis.connection import is_cluster_down, parse_start_nodes
from asgi_redis.connection.cluster import Cluster
from asgi_redis.connection.cluster_shard import ClusterSlot
from asgi_redis.wire.pubsub import SHARDED
from tests.support.clusters import of_redis_in_the_suite, slot_of
from tests.support.waiting import eventually

pytestmark = [
    pytest.mark.native("event loops in native threads"),
    pytest.mark.needs_redis(7, 0),  # CLUSTER DELSLOTSRANGE
]

NAMES = [f"name{number}" for number in range(500)]
PATIENCE_SECONDS = 0.5


class Slots:
    """The slots of a cluster, with their pipelines."""

    def __init__(self, cluster):
        nodes = parse_start_nodes(cluster.hosts, {"socket_connect_timeout": PATIENCE_SECONDS})
        self._cluster = Cluster(nodes, keeps_keys=False)
        self._slots = {}
        self.pipelines = SlotPipelines(self._cluster)

    def publish(self, name):
        slot = slot_of(name)
        shard = self._slots.setdefault(slot, ClusterSlot(self._cluster, slot))
        return self.pipelines[shard].submit(SHARDED.publish(name.encode(), b"message"), BlockingResult())


@pytest.fixture
def slots():
    made = []

    def make(cluster):
        made.append(Slots(cluster))
        return made[-1]

    yield make
    for one in made:
        one.pipelines.close(5)


def threads(word):
    return [thread for thread in threading.enumerate() if thread.name.startswith(word)]


def test_slots_without_requests_cost_nothing(slots, shared_masters):
    several = slots(shared_masters)
    futures = [several.publish(name) for name in NAMES]
    assert [future.result(10) for future in futures] == [0] * 500
    eventually(lambda: not several.pipelines.queues)
    assert len(threads("pipeline to")) == 3


@of_redis_in_the_suite
def test_many_slots_that_no_node_serves_need_few_threads_and_little_time(slots, fresh_single_node_cluster):
    several = slots(fresh_single_node_cluster)
    assert several.publish("first").result(10) == 0
    (node,) = fresh_single_node_cluster.nodes
    fresh_single_node_cluster.run(node, "CLUSTER", "DELSLOTSRANGE", 0, 8191)
    started = time.monotonic()
    dead = [name for name in NAMES if slot_of(name) < 8192]
    futures = [several.publish(name) for name in dead]
    most = 0
    while not all(future.done() for future in futures):
        most = max(most, len(threads("retries")))
        concurrent.futures.wait(futures, 0.05)
    assert all(isinstance(future.exception(), RedisError) for future in futures)
    assert any(is_cluster_down(future.exception()) for future in futures)
    assert PATIENCE_SECONDS * 0.7 < time.monotonic() - started < PATIENCE_SECONDS * 6
    assert most == 8
    fresh_single_node_cluster.run(node, "CLUSTER", "ADDSLOTSRANGE", 0, 8191)
    assert eventually(lambda: [several.publish(name).result(10) for name in dead] == [0] * len(dead))


def test_requests_wait_for_a_slot_that_comes_back(slots, fresh_single_node_cluster):
    several = slots(fresh_single_node_cluster)
    (node,) = fresh_single_node_cluster.nodes
    fresh_single_node_cluster.run(node, "CLUSTER", "DELSLOTSRANGE", 0, 8191)
    futures = [several.publish(f"name{number}") for number in range(30)]
    fresh_single_node_cluster.run(node, "CLUSTER", "ADDSLOTSRANGE", 0, 8191)
    assert [future.result(10) for future in futures] == [0] * 30


def test_close_ends_the_threads_after_the_requests(slots, shared_masters):
    several = slots(shared_masters)
    futures = [several.publish(f"name{number}") for number in range(100)]
    several.pipelines.close(5)
    assert all(future.done() for future in futures)
    assert threads("pipeline to") + threads("retries") == []
    assert several.publish("again").result(10) == 0
