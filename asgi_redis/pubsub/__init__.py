"""The channel layer over Redis's pub/sub."""

from asgi_redis.pubsub.layer import RedisPubSubChannelLayer

__all__ = ["RedisPubSubChannelLayer"]
