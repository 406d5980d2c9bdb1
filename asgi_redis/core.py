"""The names of ``asgi_redis.core`` in asgi_redis 1.4.3, for settings and imports that were written for it."""

from asgi_redis.exceptions import UnsupportedRedis
from asgi_redis.layers.redis import RedisChannelLayer

BaseRedisChannelLayer = RedisChannelLayer

__all__ = ["BaseRedisChannelLayer", "RedisChannelLayer", "UnsupportedRedis"]
