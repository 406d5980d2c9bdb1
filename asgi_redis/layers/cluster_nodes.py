"""The nodes of a Redis Cluster, as the options of layers tell of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Optional

from asgi_redis.connection import parse_start_nodes
from asgi_redis.connection.cluster import Cluster
from asgi_redis.layers.options import HostsOptions, Option, must_be

AddressRemap = Optional[Callable[[tuple[str, int]], tuple[str, int]]]

_check_remap = must_be("a function", lambda value: value is None or callable(value))


class ClusterNodesOptions(HostsOptions, total=False):
    """Options of layers over a Redis Cluster, whose start nodes are ``hosts``."""

    address_remap: Annotated[
        AddressRemap,
        Option(
            "For a Redis Cluster: a function that is given the ``(host, port)`` pair of a node as the cluster knows "
            "it, and returns the pair to connect to.",
            None,
            _check_remap,
            example='lambda address: ("127.0.0.1", address[1])',
        ),
    ]


def connect_cluster(settings: ClusterNodesOptions, keeps_keys: bool = True) -> Cluster:
    """Return the cluster of the start nodes, which are asked at the first use."""
    hosts = parse_start_nodes(settings["hosts"], settings["connection_kwargs"])
    return Cluster(hosts, settings["address_remap"], keeps_keys)
