"""Messages in the shards' queues, and who waits for one."""

from __future__ import annotations

import redis

from asgi_redis.wire import Keys, ReceiveOperations, SendOperations, StatisticsOperations


class QueueOperations(ReceiveOperations):
    """The operations of both ends of a queue."""

    def __init__(self, prefix):
        keys = Keys(prefix, f"{prefix}-stats:")
        super().__init__(keys, 60)
        self.queue_name = keys.queue_name
        sending = SendOperations(keys, 60)
        self.send, self.send_head = sending.send, sending.send_head
        self.channel_statistics = StatisticsOperations(keys, 60).of_channel


def put(shard, operations, member):
    assert shard.execute(operations.send(operations.send_head(b"work", 100, True), member))


def queued(shards, operations, key):
    return [
        taken.member
        for shard in shards
        for taken in shard.execute(operations.receive([operations.queue_name(key)], 100))
    ]


def blocked_clients(server):
    with redis.Redis(port=server.port, protocol=2) as client:
        return client.info("clients")["blocked_clients"]
