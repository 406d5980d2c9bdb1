"""
Channels 4 back ends, for asyncio: the same layers, with coroutines for calls.

``RedisChannelLayer`` takes the place of ``channels_redis.core.RedisChannelLayer``, and ``RedisPubSubChannelLayer``
that of ``channels_redis.pubsub.RedisPubSubChannelLayer``; ``AsyncChannelLayer`` is for the other layers of this
package.
"""

from asgi_redis.aio.layer import AsyncChannelLayer, ChannelFull
from asgi_redis.aio.pubsub import RedisPubSubChannelLayer
from asgi_redis.aio.redis import RedisChannelLayer

__all__ = ["AsyncChannelLayer", "ChannelFull", "RedisChannelLayer", "RedisPubSubChannelLayer"]
