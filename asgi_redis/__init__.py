"""
The synchronous Redis channel layer for Django Channels.

``RedisChannelLayer`` is a blocking client with the interface of ASGI 1.x channel layers, on the wire format of
channels_redis 4, so that both share one Redis.

Nothing is imported before it is asked for: the script ``runworker`` begins here, and may have to patch the standard
library first.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
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

_HOMES = {
    "ChannelFull": "asgi_redis.exceptions",
    "IPCChannelLayer": "asgi_redis.ipc",
    "InMemoryChannelLayer": "asgi_redis.memory",
    "MessageTooLarge": "asgi_redis.exceptions",
    "RedisChannelLayer": "asgi_redis.layer",
    "RedisLocalChannelLayer": "asgi_redis.local",
    "RedisPubSubChannelLayer": "asgi_redis.pubsub",
    "RedisSentinelChannelLayer": "asgi_redis.sentinel",
    "get_channel_layer": "asgi_redis.settings",
}
_MODULES = ("exceptions", "serializers", "settings")  # to be had without an import of their own

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


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return importlib.import_module(f"asgi_redis.{name}")
    try:
        home = _HOMES[name]
    except KeyError:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}") from None
    value = globals()[name] = getattr(importlib.import_module(home), name)
    return value
