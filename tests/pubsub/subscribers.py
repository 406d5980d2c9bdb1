"""Who listens at a Redis, by its own account."""

from __future__ import annotations

import redis


def subscribed(server, prefix):
    """Returns the names under ``prefix`` that somebody is subscribed to."""
    with redis.Redis.from_url(server.url, protocol=2) as client:
        return sorted(name.decode() for name in client.pubsub_channels(f"{prefix}*"))


def kill_listeners(server):
    """Cuts the connections that listen."""
    with redis.Redis.from_url(server.url, protocol=2) as client:
        assert client.client_kill_filter(_type="pubsub")


def drain(layer, *channels):
    """Receives all that is there."""
    return [message for _, message in layer.receive_batch(list(channels), 10_000)]
