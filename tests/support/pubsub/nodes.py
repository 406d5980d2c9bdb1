"""The subscribers of the nodes of a cluster."""

from __future__ import annotations

from asgi_redis.embedded import RedisServer
from tests.support.clusters import Cluster, slot_of


def listening(cluster: Cluster, prefix: str, node: RedisServer) -> set[str]:
    """Returns the names under ``prefix`` that have subscribers at a node."""
    names = cluster.run(node, "PUBSUB", "SHARDCHANNELS", f"{prefix}*")
    assert isinstance(names, list)
    return {name.decode() for name in names}


def all_listening(cluster: Cluster, prefix: str) -> set[str]:
    """Returns the names under ``prefix`` that have subscribers at the node that has their slot."""
    return {
        name
        for node in cluster.masters()
        for name in listening(cluster, prefix, node)
        if cluster.master_of(name) is node
    }


def listeners(cluster: Cluster, node: RedisServer) -> int:
    """Returns how many connections listen at a node."""
    with cluster.client(node) as client:
        return len(client.client_list(_type="pubsub"))


def kill_listeners(cluster: Cluster, node: RedisServer) -> None:
    """Cuts the connections that listen at a node."""
    with cluster.client(node) as client:
        assert client.client_kill_filter(_type="pubsub")


def other_master(cluster: Cluster, name: str) -> RedisServer:
    """Returns a master that has not the slot of a name."""
    source = cluster.master_of(slot_of(name))
    return next(node for node in cluster.masters() if node is not source)
