"""Clusters whose nodes give addresses that only they can reach."""

from __future__ import annotations

import time

import pytest
import redis

from tests.support.clusters import run_cluster, slot_of
from tests.support.waiting import eventually

UNREACHABLE = "192.0.2.1"  # RFC 5737: for documentation
FAST = {"socket_connect_timeout": 1}


def announce(cluster, node, host, port):
    cluster.run(node, "CONFIG", "SET", "cluster-announce-ip", host)
    cluster.run(node, "CONFIG", "SET", "cluster-announce-port", port)
    eventually(lambda: cluster.run(node, "CLUSTER", "SLOTS")[0][2][:2] == [host.encode(), port])


class TestTranslatedAddresses:
    """NAT and containers: what the nodes call themselves is not where clients find them."""

    def test_address_remap_says_where_the_nodes_are(self, fresh_single_node_cluster, cluster_layer):
        cluster, (node,) = fresh_single_node_cluster, fresh_single_node_cluster.nodes
        announce(cluster, node, UNREACHABLE, 6379)
        asked = []

        def remap(address):
            asked.append(address)
            return (node.host, node.port) if address == (UNREACHABLE, 6379) else address

        layer = cluster_layer(cluster, address_remap=remap)
        layer.send("work", {"n": 1})
        assert layer.receive(["work"], block=True) == ("work", {"n": 1})
        assert (UNREACHABLE, 6379) in asked

    def test_address_remap_is_for_redirections_too(self, cluster_binary, cluster_layer, prefix):
        with run_cluster(2, 0, cluster_binary) as cluster:
            places = {}
            for n, node in enumerate(cluster.nodes):
                # The ports of the nodes for each other stay as they are.
                cluster.run(node, "CONFIG", "SET", "cluster-announce-port", n + 1)
                places["127.0.0.1", n + 1] = (node.host, node.port)
            eventually(
                lambda: all(
                    {master[1] for _, _, master, *_ in cluster.run(node, "CLUSTER", "SLOTS")} == {1, 2}
                    for node in cluster.nodes
                )
            )
            layer = cluster_layer(cluster, address_remap=lambda address: places.get(address, address))
            layer.send("work", {"n": 1})
            key = f"{{{prefix}:0}}"
            source = cluster.master_of(key)
            (to,) = [node for node in cluster.nodes if node is not source]
            cluster.move_slot(slot_of(key), to)
            layer.send("work", {"n": 2})
            assert [message["n"] for _, message in layer.receive_batch(["work"], 10)] == [1, 2]

    def test_without_it_a_call_raises_within_the_connect_timeout(self, fresh_single_node_cluster, cluster_layer):
        cluster, (node,) = fresh_single_node_cluster, fresh_single_node_cluster.nodes
        announce(cluster, node, UNREACHABLE, 6379)
        layer = cluster_layer(cluster, connection_kwargs=FAST)
        since = time.monotonic()
        with pytest.raises((redis.exceptions.ConnectionError, redis.exceptions.TimeoutError), match=UNREACHABLE):
            layer.send("work", {"n": 1})
        assert time.monotonic() - since < 4  # the default is 5

    def test_a_node_that_does_not_know_its_address_is_where_it_was_asked(self, cluster_binary, cluster_layer):
        """As a node does that has never met another."""
        with run_cluster(1, 0, cluster_binary, knows_address=False) as cluster:
            assert cluster.run(cluster.nodes[0], "CLUSTER", "SLOTS")[0][2][0] in (b"", None)
            layer = cluster_layer(cluster)
            layer.send("work", {"n": 1})
            assert layer.receive(["work"], block=True) == ("work", {"n": 1})
