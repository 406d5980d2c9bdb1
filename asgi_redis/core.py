"""The module ``asgi_redis.core`` of asgi_redis 1.4.3, for old imports."""

from asgi_redis.exceptions import UnsupportedRedis
from asgi_redis.layers.redis import RedisChannelLayer

BaseRedisChannelLayer = RedisChannelLayer

__all__ = ["BaseRedisChannelLayer", "RedisChannelLayer", "UnsupportedRedis"]
