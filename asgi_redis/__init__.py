"""
The synchronous Redis channel layer for Django Channels.

``RedisChannelLayer`` is a blocking client with the interface of ASGI 1.x channel layers, on the wire format of
channels_redis 4, so that both share one Redis.
"""

from asgi_redis.exceptions import ChannelFull, MessageTooLarge
from asgi_redis.ipc import IPCChannelLayer
from asgi_redis.layer import RedisChannelLayer
from asgi_redis.local import RedisLocalChannelLayer
from asgi_redis.memory import InMemoryChannelLayer
from asgi_redis.pubsub import RedisPubSubChannelLayer
from asgi_redis.sentinel import RedisSentinelChannelLayer
from asgi_redis.settings import get_channel_layer

__version__ = "2.0.0"

default_app_config = "asgi_redis.apps.AsgiRedisConfig"  # for Django before 3.2

__all__ = [
    "ChannelFull",
    "IPCChannelLayer",
    "InMemoryChannelLayer",
    "MessageTooLarge",
    "RedisChannelLayer",
    "RedisLocalChannelLayer",
    "RedisPubSubChannelLayer",
    "RedisSentinelChannelLayer",
    "__version__",
    "get_channel_layer",
]
