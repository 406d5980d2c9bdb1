"""The Channels 4 back end over a Redis Cluster."""

from __future__ import annotations

from typing import TYPE_CHECKING

from asgi_redis.aio.redis import RedisChannelLayer
from asgi_redis.layers import cluster
from asgi_redis.layers.cluster import ClusterOptions
from asgi_redis.layers.options import AsyncOptions, Hosts, resolve, select, takes

if TYPE_CHECKING:
    from typing_extensions import Unpack


class AsyncClusterOptions(ClusterOptions, AsyncOptions, total=False):
    """Options of ``asgi_redis.aio.RedisClusterChannelLayer``."""


class RedisClusterChannelLayer(RedisChannelLayer):
    """
    A Channels 4 back end over a Redis Cluster.

    To each node one round trip is made for all the calls of the meantime. ``layer`` is the synchronous layer,
    whose docstring says what follows when slots move and nodes fail. Calls on one shard wait for each other then, and
    keep their order; calls on other shards go on.
    """

    @takes(AsyncClusterOptions)
    def __init__(self, hosts: Hosts | None = None, /, **options: Unpack[AsyncClusterOptions]) -> None:
        if hosts is not None:
            options = AsyncClusterOptions(hosts=hosts, **options)  # TypeError where it is given twice
        settings = resolve(self, AsyncClusterOptions, options)
        self._set_up(cluster.RedisClusterChannelLayer(**select(ClusterOptions, settings)), settings)
