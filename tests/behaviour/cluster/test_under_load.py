"""A cluster that is rebuilt under full load: nothing is lost, nothing is handed out twice."""

from __future__ import annotations

import pytest

from tests.support.cluster_traffic import ClusterTraffic
from tests.support.clusters import needs_redis_cli, of_redis_in_the_suite, slot_of
from tests.support.waiting import eventually


def goes_on(traffic, messages=20):
    """Waits until messages that are sent from now on arrive."""
    sent, received = len(traffic.acknowledged), len(traffic.received)
    eventually(lambda: len(traffic.acknowledged) > sent + messages, timeout=20)
    eventually(lambda: len(traffic.received) > received + messages, timeout=20)


def assert_all_arrived_once(traffic):
    assert traffic.errors == []
    assert traffic.doubled() == {}
    assert traffic.lost() == set()


def test_a_slot_moves_back_and_forth_under_load(masters, cluster_layer, move):
    with ClusterTraffic(cluster_layer(masters)) as traffic:
        goes_on(traffic)
        move.back_and_forth(10)
        goes_on(traffic)
    assert_all_arrived_once(traffic)


def test_all_shards_move_while_one_sender_is_followed_by_one_reader(masters, cluster_layer, move):
    """Messages of a sender in one shard arrive in its order, wherever the shard goes."""
    with ClusterTraffic(cluster_layer(masters), senders=1, readers=1) as traffic:
        goes_on(traffic)
        move.back_and_forth(4)
        goes_on(traffic)
    assert_all_arrived_once(traffic)
    assert traffic.received == sorted(traffic.received)


@pytest.mark.soak
@pytest.mark.timeout(300)
def test_slots_move_back_and_forth_under_load_many_times(three_masters, cluster_layer, prefix):
    slots = [slot_of(f"{{{prefix}:{n}}}") for n in range(8)]
    with ClusterTraffic(cluster_layer(three_masters, shards=8), senders=4, readers=4) as traffic:
        goes_on(traffic)
        for _ in range(50):
            for slot in slots:
                there = three_masters.master_of(slot)
                three_masters.move_slot(slot, next(node for node in three_masters.nodes if node is not there))
        goes_on(traffic)
    assert_all_arrived_once(traffic)


@of_redis_in_the_suite
def test_slots_move_to_a_node_that_is_added(three_masters, cluster_layer, prefix):
    with ClusterTraffic(cluster_layer(three_masters, shards=4)) as traffic:
        goes_on(traffic)
        new = three_masters.add_node()
        for n in range(4):
            three_masters.move_slot(slot_of(f"{{{prefix}:{n}}}"), new)
        goes_on(traffic)
    assert_all_arrived_once(traffic)
    with three_masters.client(new) as client:
        assert client.info("commandstats")["cmdstat_evalsha"]["calls"] > 0


def test_a_slot_moves_back_and_forth_atomically(masters, cluster_layer, move):
    if not masters.can_move_atomically():
        pytest.skip("the server has no CLUSTER MIGRATESLOTS")
    with ClusterTraffic(cluster_layer(masters)) as traffic:
        goes_on(traffic)
        for to in (move.to, move.source) * 2:
            masters.move_slot_atomically(move.slot, to)
            goes_on(traffic)
    assert_all_arrived_once(traffic)


@needs_redis_cli
@pytest.mark.soak
@pytest.mark.timeout(300)
def test_a_whole_cluster_is_rebalanced_under_load(three_masters, cluster_layer):
    first = three_masters.nodes[0]
    # redis-cli needs some of the processors, too.
    with ClusterTraffic(cluster_layer(three_masters, shards=64), pause=0.001) as traffic:
        goes_on(traffic)
        three_masters.rebalance({first: 0})  # it becomes a replica without slots
        goes_on(traffic)
        new = three_masters.add_node()
        three_masters.reshard(3000, three_masters.nodes[1], new)
        goes_on(traffic)
    assert_all_arrived_once(traffic)


@of_redis_in_the_suite
def test_a_replica_becomes_the_master_in_good_order_under_load(fresh_cluster, cluster_layer, prefix):
    master = fresh_cluster.master_of(f"{{{prefix}:0}}")
    with ClusterTraffic(cluster_layer(fresh_cluster)) as traffic:
        goes_on(traffic)
        heir = fresh_cluster.failover(master)
        goes_on(traffic)
    assert heir is not master
    assert traffic.doubled() == {}
    assert traffic.lost() == set()
