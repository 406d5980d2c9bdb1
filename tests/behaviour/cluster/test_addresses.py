"""Clusters whose nodes give addresses that only they can reach, and servers that are no such cluster."""

from __future__ import annotations

import time

import pytest
import redis

from asgi_redis import RedisChannelLayer
from asgi_redis.exceptions import ConfigurationError, UnsupportedRedis
from tests.support.clusters import run_cluster, slot_of
from tests.support.waiting import eventually

UNREACHABLE = "192.0.2.1"  # RFC 5737: for documentation
FAST = {"socket_connect_timeout": 0.5}


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
        assert time.monotonic() - since < 3

    def test_a_node_that_does_not_know_its_address_is_where_it_was_asked(self, cluster_binary, cluster_layer):
        """As a node does that has never met another."""
        with run_cluster(1, 0, cluster_binary, knows_address=False) as cluster:
            assert cluster.run(cluster.nodes[0], "CLUSTER", "SLOTS")[0][2][0] in (b"", None)
            layer = cluster_layer(cluster)
            layer.send("work", {"n": 1})
            assert layer.receive(["work"], block=True) == ("work", {"n": 1})


class TestWrongServers:
    def test_a_server_that_is_no_cluster_is_an_error_with_the_fix(self, redis_server, cluster_layer, masters):
        layer = cluster_layer(masters, hosts=[redis_server.url])
        with pytest.raises(UnsupportedRedis, match=r"RedisChannelLayer"):
            layer.send("work", {"n": 1})

    def test_a_layer_for_one_server_at_a_cluster_is_an_error_with_the_fix(self, masters, prefix):
        with RedisChannelLayer(hosts=[masters.urls[0]], prefix=prefix) as layer:
            for call in (
                lambda: layer.send("work", {"n": 1}),
                lambda: layer.receive(["work"]),
                lambda: layer.receive(["work"], block=True),
                lambda: layer.send_group("chat", {"n": 1}),
            ):
                with pytest.raises(UnsupportedRedis, match=r"RedisClusterChannelLayer"):
                    call()

    @pytest.mark.parametrize("how", ["url", "option", "connection_kwargs"])
    def test_a_cluster_has_no_database_but_0(self, masters, cluster_layer, how):
        given = {
            "url": {"hosts": [masters.urls[0] + "/1"]},
            "option": {"hosts": [{"address": masters.urls[0], "db": 1}]},
            "connection_kwargs": {"connection_kwargs": {"db": 1}},
        }[how]
        with pytest.raises(ConfigurationError, match="database 0"):
            cluster_layer(masters, **given)

    def test_database_0_may_be_said(self, masters, cluster_layer):
        layer = cluster_layer(masters, hosts=[masters.urls[0] + "/0"])
        layer.send("work", {"n": 1})
        assert layer.receive(["work"]) == ("work", {"n": 1})


class TestNumberOfShards:
    def test_it_is_required(self, masters, prefix):
        from asgi_redis import RedisClusterChannelLayer

        with pytest.raises((TypeError, ConfigurationError), match="shards"):
            RedisClusterChannelLayer(hosts=masters.hosts, prefix=prefix)

    @pytest.mark.parametrize("number", [0, -1, "4", 2.0, True, None])
    def test_it_is_a_whole_number_above_0(self, masters, cluster_layer, number):
        with pytest.raises(ConfigurationError, match="shards"):
            cluster_layer(masters, shards=number)

    @pytest.mark.parametrize("numbers", [(4, 3), (3, 4), (1, 2)])
    def test_a_layer_that_has_another_number_than_others_is_an_error(self, masters, cluster_layer, numbers):
        first, second = (cluster_layer(masters, shards=number) for number in numbers)
        for n in range(4):
            first.send("work", {"n": n})
        for call in (
            lambda: second.send("work", {"n": 1}),
            lambda: second.receive(["work"]),
            lambda: second.receive(["work"], block=True),
        ):
            with pytest.raises(ConfigurationError, match=rf"{numbers[1]}.*{numbers[0]}"):
                call()
        assert len(first.receive_batch(["work"], 10)) == 4

    def test_another_number_under_another_prefix_is_fine(self, masters, cluster_layer, prefix):
        cluster_layer(masters, shards=4).send("work", {"n": 1})
        other = cluster_layer(masters, shards=3, prefix=f"{prefix}-2")
        other.send("work", {"n": 1})
        assert other.receive(["work"], block=True) == ("work", {"n": 1})
