"""Nodes that die, hang, load or lack slots: what becomes of calls, and of messages."""

from __future__ import annotations

import contextlib
import threading
import time

import pytest
import redis
from redis.exceptions import BusyLoadingError, RedisError

from asgi_redis.connection import Take
from asgi_redis.connection.redirection import is_cluster_down
from asgi_redis.process import fork
from tests.behaviour.cluster.test_under_load import goes_on
from tests.support import loading
from tests.support.cluster_traffic import ClusterTraffic
from tests.support.clusters import of_redis_in_the_suite, run_cluster, run_single_node_cluster, slot_of
from tests.support.queues import QueueOperations
from tests.support.waiting import eventually

Broken = (redis.exceptions.ConnectionError, redis.exceptions.TimeoutError)
pytestmark = of_redis_in_the_suite
FAST = {"socket_connect_timeout": 1, "socket_timeout": 0.5}


def assert_doubled_only_by_the_cluster(traffic, replicated_at):
    """
    A replica that takes over lacks what its master did last, also that it has given messages away.

    Such messages are handed out again; of the others none is.
    """
    early = {message: times for message, times in traffic.doubled().items() if times[0] < replicated_at}
    assert early == {}


def replicate(cluster, master, key):
    """Waits until a replica has all that its master did so far; returns from when on it may lack something."""
    replicated_at = time.monotonic()
    with cluster.client(master, socket_timeout=20) as client:
        client.set(f"{key}:mark", "")
        assert client.wait(1, 20_000) == 1
    return replicated_at


def fails_over(cluster, layer, key, end):
    """``end(master)`` of the key's shard under load, which goes on by itself when the replica has taken over."""
    master = cluster.master_of(key)
    (replica,) = cluster.replicas_of(master)
    with ClusterTraffic(layer, pause=0.001, as_worker=True) as traffic:
        goes_on(traffic)
        replicated_at = replicate(cluster, master, key)
        end(master)
        eventually(lambda: cluster.master_of(key) is replica, timeout=20)
        promoted_at = time.monotonic()
        goes_on(traffic)
    assert min(at for at in traffic.acknowledged.values() if at > promoted_at) < promoted_at + 6
    assert_doubled_only_by_the_cluster(traffic, replicated_at)
    assert [error for _, error in traffic.errors if not (isinstance(error, Broken) or is_cluster_down(error))] == []
    lost = [message for message in traffic.lost() if traffic.acknowledged[message] < replicated_at]
    assert lost == []


def test_sends_go_on_by_themselves_when_a_master_is_killed(fresh_cluster, cluster_layer, prefix):
    fails_over(fresh_cluster, cluster_layer(fresh_cluster), f"{{{prefix}:0}}", fresh_cluster.kill)


def test_sends_go_on_by_themselves_when_a_master_hangs(fresh_cluster, cluster_layer, prefix):
    layer = cluster_layer(fresh_cluster, connection_kwargs=FAST)
    master = fresh_cluster.master_of(f"{{{prefix}:0}}")
    fails_over(fresh_cluster, layer, f"{{{prefix}:0}}", fresh_cluster.pause)
    layer.send("late", {"n": 1})
    fresh_cluster.resume(master)
    fresh_cluster.settle()
    # It has become a replica, and nobody takes it for the master any more.
    layer.send("late", {"n": 2})
    assert [message["n"] for _, message in layer.receive_batch(["late"], 10)] == [1, 2]


@pytest.mark.soak
@pytest.mark.timeout(300)
def test_masters_are_killed_and_come_back_again_and_again(fresh_cluster, cluster_layer):
    layer = cluster_layer(fresh_cluster, shards=16)
    with ClusterTraffic(layer, senders=4, readers=4, pause=0.001, as_worker=True) as traffic:
        for _ in range(6):
            goes_on(traffic)
            master = fresh_cluster.masters()[0]
            failed_at = time.monotonic()
            fresh_cluster.kill(master)
            fresh_cluster.settle()
            goes_on(traffic)
            assert_doubled_only_by_the_cluster(traffic, failed_at - 0.5)
            master.start()
            fresh_cluster.settle()
    assert len(traffic.lost()) < len(traffic.acknowledged) / 100


def test_the_start_nodes_may_go_after_the_start(cluster_binary, cluster_layer, prefix):
    slot = slot_of(f"{{{prefix}:0}}")
    with run_cluster(3, 0, cluster_binary, options={"cluster-require-full-coverage": "no"}) as cluster:
        start, to = (node for node in cluster.nodes if node is not cluster.master_of(slot))
        layer = cluster_layer(cluster, hosts=[(start.host, start.port)])
        layer.send("work", {"n": 1})
        cluster.kill(start)
        cluster.move_slot(slot, to)
        layer.send("work", {"n": 2})
        assert [message["n"] for _, message in layer.receive_batch(["work"], 10)] == [1, 2]


def test_a_dead_start_node_is_passed_over(masters, cluster_layer):
    layer = cluster_layer(masters, hosts=[("127.0.0.1", 1), *masters.hosts])
    layer.send("work", {"n": 1})
    assert layer.receive(["work"]) == ("work", {"n": 1})


def test_without_any_start_node_a_send_raises_within_the_connect_timeout(cluster_layer, masters):
    layer = cluster_layer(masters, hosts=[("127.0.0.1", 1)], connection_kwargs={"socket_connect_timeout": 1.0})
    since = time.monotonic()
    with pytest.raises(redis.exceptions.ConnectionError):
        layer.send("work", {"n": 1})
    assert time.monotonic() - since < 4


def sends_once_there_is(cluster, refusal, layer, end):
    """Sends the second message of a channel, which the node refuses until ``end()``."""
    sending = threading.Thread(target=layer.send, args=("work", {"n": 2}))
    sending.start()
    eventually(lambda: cluster.refusals(cluster.nodes[0], refusal))
    end()
    sending.join()
    assert [message["n"] for _, message in layer.receive_batch(["work"], 10)] == [1, 2]


class TestSlotsThatNobodyServes:
    def test_a_call_waits_for_a_cluster_that_lacks_any_slot(self, fresh_single_node_cluster, cluster_layer):
        cluster, (node,) = fresh_single_node_cluster, fresh_single_node_cluster.nodes
        layer = cluster_layer(cluster)
        layer.send("work", {"n": 1})
        cluster.run(node, "CLUSTER", "DELSLOTS", 0)
        sends_once_there_is(cluster, "CLUSTERDOWN", layer, lambda: cluster.run(node, "CLUSTER", "ADDSLOTS", 0))

    def test_a_call_waits_for_its_slot(self, fresh_single_node_cluster, cluster_layer, prefix):
        cluster, (node,) = fresh_single_node_cluster, fresh_single_node_cluster.nodes
        slot = slot_of(f"{{{prefix}:0}}")
        layer = cluster_layer(cluster)
        layer.send("work", {"n": 1})
        cluster.run(node, "CONFIG", "SET", "cluster-require-full-coverage", "no")
        cluster.run(node, "CLUSTER", "DELSLOTS", slot)
        sends_once_there_is(cluster, "CLUSTERDOWN", layer, lambda: cluster.run(node, "CLUSTER", "ADDSLOTS", slot))

    def test_a_call_gives_up_within_the_connect_timeout(self, fresh_single_node_cluster, cluster_layer):
        cluster, (node,) = fresh_single_node_cluster, fresh_single_node_cluster.nodes
        layer = cluster_layer(cluster, connection_kwargs=FAST)
        layer.send("work", {"n": 1})
        cluster.run(node, "CLUSTER", "DELSLOTS", 0)
        for call in (
            lambda: layer.send("work", {"n": 2}),
            lambda: layer.receive(["work"]),
            lambda: layer.receive(["work"], block=True),
            lambda: layer.group_add("chat", "work"),
            lambda: layer.channel_statistics("work"),
        ):
            since = time.monotonic()
            with pytest.raises(RedisError, match=r"(?i)down|slot"):
                call()
            assert time.monotonic() - since < 4

    def test_a_cluster_without_any_slot_is_an_error(self, fresh_single_node_cluster, cluster_layer):
        cluster, (node,) = fresh_single_node_cluster, fresh_single_node_cluster.nodes
        cluster.run(node, "CLUSTER", "FLUSHSLOTS")
        layer = cluster_layer(cluster, connection_kwargs=FAST)
        with pytest.raises(RedisError, match="slot"):
            layer.send("work", {"n": 1})


class TestNodesThatLoad:
    @pytest.fixture
    def cluster(self, cluster_binary):
        with run_single_node_cluster(cluster_binary, options=loading.OPTIONS) as running:
            yield running

    def test_a_call_waits_for_a_node_that_loads(self, cluster, cluster_layer):
        layer = cluster_layer(cluster)
        layer.send("work", {"n": 1})
        with contextlib.ExitStack() as stack:
            stack.enter_context(loading.loading(cluster))
            sends_once_there_is(cluster, "LOADING", layer, stack.close)

    def test_a_call_gives_up_within_the_connect_timeout(self, cluster, cluster_layer):
        layer = cluster_layer(cluster, connection_kwargs={"socket_connect_timeout": 1.0})
        layer.send("work", {"n": 1})
        with loading.loading(cluster):
            since = time.monotonic()
            with pytest.raises(BusyLoadingError):
                layer.send("work", {"n": 2})
            assert time.monotonic() - since < 4
        assert layer.receive(["work"]) == ("work", {"n": 1})


@pytest.mark.soak
def test_a_master_that_goes_on_as_a_replica_doubles_nothing(fresh_cluster, cluster_layer, prefix):
    """A pop that it has read before it hung takes messages that the new master has handed out."""
    layer = cluster_layer(fresh_cluster, connection_kwargs=FAST)
    key = f"{{{prefix}:0}}"
    master = fresh_cluster.master_of(key)
    (replica,) = fresh_cluster.replicas_of(master)
    reader = layer.reader()
    for n in range(5):
        layer.send("work", {"n": n})
    with fresh_cluster.client(master) as client:
        client.set(key, "")
        assert client.wait(1, 1000) == 1
    fresh_cluster.pause(master)
    assert reader.receive_batch(["work"], 10) == []  # the master is asked all the same
    eventually(lambda: fresh_cluster.master_of(key) is replica, timeout=20)
    received = eventually(lambda: layer.receive_batch(["work"], 10), timeout=20)
    fresh_cluster.resume(master)
    fresh_cluster.settle()
    reader.close()
    settle(layer)
    assert [message["n"] for _, message in received] == [0, 1, 2, 3, 4]
    assert layer.receive_batch(["work"], 10) == []


def settle(layer):
    """Waits for the late replies of all servers."""
    assert layer.plans.shards[0].settle(time.monotonic() + 5)


def test_messages_of_a_late_reply_go_back_to_no_other_server(cluster_binary, cluster_layer, prefix):
    """Such a server is one that has taken over, and has handed them out."""
    slot = slot_of(f"{{{prefix}:0}}")
    has_moved = threading.Event()
    operations = QueueOperations(f"{{{prefix}:0}}")

    def requeue(taken):
        assert has_moved.wait(10)
        return operations.requeue(taken)

    with run_cluster(2, 0, cluster_binary) as cluster:
        source = cluster.master_of(slot)
        (to,) = [node for node in cluster.nodes if node is not source]
        layer = cluster_layer(cluster)
        layer.send("work", {"n": 1})
        take = Take(layer._shards[0], operations.receive([b"work"], 1), requeue, fork.check())
        cluster.pause(source)
        with pytest.raises(redis.exceptions.TimeoutError):
            take.take(fail_fast=True)
        cluster.resume(source)
        eventually(lambda: cluster.run(source, "EXISTS", f"{{{prefix}:0}}work") == 0)
        cluster.move_slot(slot, to)
        assert layer.receive(["work"]) == (None, None)
        has_moved.set()
        settle(layer)
        assert layer.receive(["work"]) == (None, None)


def test_what_was_taken_is_returned_when_the_other_node_of_a_move_dies(three_masters, cluster_layer, prefix):
    layer = cluster_layer(three_masters, connection_kwargs={"socket_connect_timeout": 1.0})
    layer.send("here", {"n": 1})
    slot = slot_of(f"{{{prefix}:0}}")
    source = three_masters.master_of(slot)
    to = next(node for node in three_masters.nodes if node is not source)
    three_masters.begin_move(slot, to)
    three_masters.kill(to)
    received = []

    def receive():
        received.extend(layer.receive_batch(["here", "away"], 10))
        return received

    eventually(receive)  # a receive that asks for the other queue first raises
    for _ in range(3):
        with contextlib.suppress(RedisError):
            receive()
    assert received == [("here", {"n": 1})]


def test_statistics_of_many_channels_do_not_leave_out_those_of_a_shard_that_is_away(
    fresh_single_node_cluster, cluster_layer, prefix
):
    layer = cluster_layer(fresh_single_node_cluster, connection_kwargs={"socket_connect_timeout": 1.0})
    names = [f"c{n}" for n in range(20)]
    for name in names:
        layer.send(name, {})
    assert set(layer.many_channel_statistics(names)) == set(names)
    (node,) = fresh_single_node_cluster.nodes
    fresh_single_node_cluster.run(node, "CLUSTER", "DELSLOTS", slot_of(f"{{{prefix}:0}}"))
    started = time.monotonic()
    with pytest.raises(RedisError) as raised:
        layer.many_channel_statistics(names)
    assert is_cluster_down(raised.value)
    assert time.monotonic() - started < 4
