"""
Channels 4 back ends, for asyncio: the same layers, with coroutines for calls.

``RedisChannelLayer`` takes the place of ``channels_redis.core.RedisChannelLayer``, and ``RedisPubSubChannelLayer``
that of ``channels_redis.pubsub.RedisPubSubChannelLayer``; ``RedisClusterChannelLayer`` is for a Redis Cluster, and
``AsyncChannelLayer`` for the other layers of this package.
"""

from asgi_redis.aio.cluster import RedisClusterChannelLayer
from asgi_redis.aio.layer import AsyncChannelLayer, ChannelFull
from asgi_redis.aio.pubsub import RedisPubSubChannelLayer
from asgi_redis.aio.redis import RedisChannelLayer

__all__ = [
    "AsyncChannelLayer",
    "ChannelFull",
    "RedisChannelLayer",
    "RedisClusterChannelLayer",
    "RedisPubSubChannelLayer",
]
