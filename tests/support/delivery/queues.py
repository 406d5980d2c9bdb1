"""Looking into queues."""

from __future__ import annotations

import redis


def drain(layer, channel):
    """The numbers of all the messages that are waiting."""
    numbers = []
    while True:
        _, message = layer.receive([channel])
        if message is None:
            return numbers
        numbers.append(message["number"])


def queued(servers, prefix, channel):
    total = 0
    for server in servers:
        with redis.Redis.from_url(server.unix_url, protocol=2) as client:
            total += client.zcard(prefix + channel)
    return total
