"""The slots of a cluster by redis-py, whose ``NodesManager`` this is the contract with."""

from __future__ import annotations

import pytest
from redis.connection import Connection
from redis.exceptions import RedisError

from asgi_redis.connection.discovery import discover, is_no_cluster
from asgi_redis.exceptions import UnsupportedRedis
from tests.support.clusters import run_cluster, run_single_node_cluster
from tests.support.waiting import eventually

OPTIONS = {"protocol": 2, "socket_timeout": 1.0, "socket_connect_timeout": 1.0}


@pytest.fixture
def own_cluster():
    with run_single_node_cluster() as running:
        yield running


def ask(addresses, remap=None):
    return discover(addresses, Connection, OPTIONS, remap)


def test_a_cluster_of_one_node(single_node_cluster):
    found = ask(single_node_cluster.hosts)
    assert [(one.first, one.last, one.address) for one in found.ranges] == [(0, 16383, single_node_cluster.hosts[0])]
    assert found.nodes == single_node_cluster.hosts


def test_the_ranges_of_several_nodes_are_in_order(shared_masters):
    moving, to = 9, shared_masters.nodes[2]
    shared_masters.move_slot(moving, to)
    found = ask(shared_masters.hosts[:1])
    assert sorted(found.nodes) == sorted(shared_masters.hosts)
    assert [one.first for one in found.ranges] == sorted(one.first for one in found.ranges)
    assert sum(one.last - one.first + 1 for one in found.ranges) == 16384
    (moved,) = [one for one in found.ranges if one.first <= moving <= one.last]
    assert moved == (moving, moving, (to.host, to.port))


def test_an_address_that_does_not_answer_is_passed_over(single_node_cluster):
    found = ask([("127.0.0.1", 1), *single_node_cluster.hosts])
    assert found.ranges[0].address == single_node_cluster.hosts[0]


def test_addresses_are_remapped(single_node_cluster):
    found = ask(single_node_cluster.hosts, lambda address: ("localhost", address[1]))
    assert found.ranges[0].address[1] == single_node_cluster.hosts[0][1]
    assert found.ranges[0].address[0] in ("localhost", "127.0.0.1")


def test_no_address_that_answers_is_an_error():
    with pytest.raises(RedisError) as raised:
        ask([("127.0.0.1", 1)])
    assert not is_no_cluster(raised.value)


def test_a_server_that_is_no_cluster_says_so(redis_server):
    with pytest.raises(RedisError) as raised:
        ask([(redis_server.host, redis_server.port)])
    assert is_no_cluster(raised.value)


def test_a_cluster_without_slots_is_an_error(own_cluster):
    node = own_cluster.nodes[0]
    own_cluster.run(node, "CLUSTER", "FLUSHSLOTS")
    with pytest.raises(RedisError):
        ask(own_cluster.hosts)


@pytest.mark.needs_redis(7, 0)  # cluster-preferred-endpoint-type
@pytest.mark.parametrize("masters", [1, 2])
@pytest.mark.parametrize("kind", ["unknown-endpoint", "hostname"])
def test_nodes_without_an_address_are_an_error_with_the_fix(kind, masters):
    with run_cluster(masters, 0, options={"cluster-preferred-endpoint-type": kind}) as running:
        with pytest.raises(UnsupportedRedis, match="set cluster-announce-hostname"):
            ask(running.hosts[:1])
        if (kind, masters) != ("unknown-endpoint", 1):  # which redis-py cannot read
            assert len(ask(running.hosts[:1], lambda address: ("127.0.0.1", address[1])).ranges) == masters


def test_no_connection_stays_open(own_cluster):
    with own_cluster.client() as client:
        before = len(client.client_list())
        ask(own_cluster.hosts)
        eventually(lambda: len(client.client_list()) <= before)


def test_redis_py_has_what_is_used():
    import redis.cluster

    assert hasattr(redis.cluster, "NodesManager"), f"redis-py {redis.__version__} has changed: NodesManager"
    assert hasattr(redis.cluster, "ClusterNode"), f"redis-py {redis.__version__} has changed: ClusterNode"
