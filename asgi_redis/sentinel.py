"""The module ``asgi_redis.sentinel`` of asgi_redis 1.4.3, for old imports."""

from asgi_redis.layers.sentinel import RedisSentinelChannelLayer

__all__ = ["RedisSentinelChannelLayer"]
