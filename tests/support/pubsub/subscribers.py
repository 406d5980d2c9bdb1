"""The subscribers of a Redis server, and the log lines about its outages."""

from __future__ import annotations

import logging

import redis

NOTICES = {"on_disconnect": "redis.disconnect", "on_reconnect": "redis.reconnect"}
DISCONNECT, RECONNECT = {"type": "redis.disconnect"}, {"type": "redis.reconnect"}


def subscribed(server, prefix):
    """Returns the names under ``prefix`` that have subscribers."""
    with redis.Redis.from_url(server.url, protocol=2) as client:
        return sorted(name.decode() for name in client.pubsub_channels(f"{prefix}*"))


def kill_listeners(server):
    """Cuts the connections that listen."""
    with redis.Redis.from_url(server.url, protocol=2) as client:
        assert client.client_kill_filter(_type="pubsub")


def drain(layer, *channels):
    """Receives all that is there."""
    return [message for _, message in layer.receive_batch(list(channels), 10_000)]


def outages(caplog):
    """Returns the log lines about outages."""
    return [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]
