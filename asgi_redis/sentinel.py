"""The name of ``asgi_redis.sentinel`` in asgi_redis 1.4.3, for settings and imports that were written for it."""

from asgi_redis.layers.sentinel import RedisSentinelChannelLayer

__all__ = ["RedisSentinelChannelLayer"]
