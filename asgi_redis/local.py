"""The name of ``asgi_redis.local`` in asgi_redis 1.4.3, for settings and imports that were written for it."""

from asgi_redis.layers.local import RedisLocalChannelLayer

__all__ = ["RedisLocalChannelLayer"]
