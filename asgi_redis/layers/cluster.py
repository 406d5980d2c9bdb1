"""``RedisClusterChannelLayer``: messages and groups on a Redis Cluster."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Optional

from redis.crc import key_slot

from asgi_redis.connection import Shard
from asgi_redis.connection.cluster_shard import ClusterShard
from asgi_redis.exceptions import ConfigurationError
from asgi_redis.layers.cluster_nodes import ClusterNodesOptions, connect_cluster
from asgi_redis.layers.options import Option, QueueOptions, must_be, resolve, takes
from asgi_redis.layers.redis import RedisChannelLayer
from asgi_redis.wire import Keys
from asgi_redis.wire.shards import claim_shards, keys_of_shards, shard_tag

if TYPE_CHECKING:
    from typing_extensions import Unpack


NumberOfShards = Optional[int]

_SHARDS = range(1, 4097)  # the hash that chooses one has 12 bits

_check_shards = must_be(
    "a whole number from 1 to 4096", lambda value: value is None or (type(value) is int and value in _SHARDS)
)


class ClusterOptions(QueueOptions, ClusterNodesOptions, total=False):
    """Options of layers that keep messages in a Redis Cluster."""

    shards: Annotated[
        NumberOfShards,
        Option(
            "The number of parts that the channels and groups are divided into, each on one node at a time: the same "
            "in all processes, from 1 to 4096. For layers over a Redis Cluster.",
            None,
            _check_shards,
            example="4",
        ),
    ]


class RedisClusterChannelLayer(RedisChannelLayer):
    """
    A ``RedisChannelLayer`` over a Redis Cluster.

    The channels and groups are divided into ``shards``, each of which is in one hash slot and so on one node at a
    time. Slots may move and nodes may fail: a request that a node has refused goes where the slot is, and is never
    carried out twice. While no node serves a slot, a call waits up to the connect timeout.

    Raises ``ConfigurationError`` without ``shards``, and in the first call that uses a shard if other processes with
    the same prefix have another number of shards.
    """

    @takes(ClusterOptions)
    def __init__(self, **options: Unpack[ClusterOptions]) -> None:
        settings = resolve(self, ClusterOptions, options)
        self._set_up(settings, *cluster_shards(settings))


def cluster_shards(settings: ClusterOptions) -> tuple[list[Shard], list[Keys]]:
    """Return the shards of a cluster, and the keys on each of them."""
    number, prefix = settings["shards"], settings["prefix"]
    if number is None:
        raise ConfigurationError(
            "shards is missing: the number of parts that channels and groups are divided into, the same in all "
            "processes: as many as there will be master nodes, or 4 if that is not known"
        )
    cluster = connect_cluster(settings)
    limit = cluster.limits.max_connections
    if limit < number:
        raise ConfigurationError(
            f"max_connections is {limit:.0f} and shards {number}: a receive that waits has a connection for each "
            f"shard, and all of them may be on one node"
        )
    keys = keys_of_shards(prefix, number)
    shards: list[ClusterShard] = []
    for position, of_shard in enumerate(keys):
        tag = shard_tag(prefix, position)
        name = f"shard {tag} of the cluster of {cluster.name}"
        claim, first = claim_shards(of_shard, number), shards[0] if shards else None
        shards.append(ClusterShard(cluster, key_slot(tag.encode()), name, claim, number, first))
    return [*shards], keys
