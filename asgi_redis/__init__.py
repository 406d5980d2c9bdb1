"""
The synchronous Redis channel layer for Django Channels.

``RedisChannelLayer`` is a blocking client with the interface of ASGI 1.x channel layers, on the wire format of
channels_redis 4, so that both share one Redis.

Nothing is imported before it is asked for: the script ``runworker`` begins here, and may have to patch the standard
library first.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from asgi_redis.process.lazy import lazy_attributes
from asgi_redis.process.version import __version__ as __version__

if TYPE_CHECKING:
    from asgi_redis import core as core
    from asgi_redis import exceptions as exceptions
    from asgi_redis import local as local
    from asgi_redis import sentinel as sentinel
    from asgi_redis import serializers as serializers
    from asgi_redis.exceptions import ChannelFull as ChannelFull
    from asgi_redis.exceptions import MessageTooLarge as MessageTooLarge
    from asgi_redis.integrations.django import get_channel_layer as get_channel_layer
    from asgi_redis.layers.cluster import RedisClusterChannelLayer as RedisClusterChannelLayer
    from asgi_redis.layers.ipc import IPCChannelLayer as IPCChannelLayer
    from asgi_redis.layers.local import RedisLocalChannelLayer as RedisLocalChannelLayer
    from asgi_redis.layers.memory import InMemoryChannelLayer as InMemoryChannelLayer
    from asgi_redis.layers.pubsub import RedisPubSubChannelLayer as RedisPubSubChannelLayer
    from asgi_redis.layers.redis import RedisChannelLayer as RedisChannelLayer
    from asgi_redis.layers.sentinel import RedisSentinelChannelLayer as RedisSentinelChannelLayer

default_app_config = "asgi_redis.apps.AsgiRedisConfig"  # for Django before 3.2

_HOMES = {
    "ChannelFull": "asgi_redis.exceptions",
    "IPCChannelLayer": "asgi_redis.layers.ipc",
    "InMemoryChannelLayer": "asgi_redis.layers.memory",
    "MessageTooLarge": "asgi_redis.exceptions",
    "RedisChannelLayer": "asgi_redis.layers.redis",
    "RedisClusterChannelLayer": "asgi_redis.layers.cluster",
    "RedisLocalChannelLayer": "asgi_redis.layers.local",
    "RedisPubSubChannelLayer": "asgi_redis.layers.pubsub",
    "RedisSentinelChannelLayer": "asgi_redis.layers.sentinel",
    "get_channel_layer": "asgi_redis.integrations.django",
}
_MODULES = ("core", "exceptions", "local", "sentinel", "serializers")  # need no import statement

if not TYPE_CHECKING:  # a type checker would take every name for known
    __all__ = [*_HOMES, "__version__"]
    __getattr__ = lazy_attributes(__name__, _HOMES, _MODULES)
