"""Messages in the shards' queues, and who waits for one."""

from __future__ import annotations

import redis


def put(shard, operations, member):
    assert shard.execute(operations.send(operations.send_head(b"work", 100, True), member))


def queued(shards, operations, key):
    return [taken.member for shard in shards for taken in shard.execute(operations.receive([key], 100))]


def blocked_clients(server):
    with redis.Redis(port=server.port, protocol=2) as client:
        return client.info("clients")["blocked_clients"]
