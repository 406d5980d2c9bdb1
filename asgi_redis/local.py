"""The module ``asgi_redis.local`` of asgi_redis 1.4.3, for old imports."""

from asgi_redis.layers.local import RedisLocalChannelLayer

__all__ = ["RedisLocalChannelLayer"]
