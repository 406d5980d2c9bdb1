"""Three shards, a queue's key on them, and a wait for a message."""

from __future__ import annotations

import pytest

from asgi_redis.connection import Hand, Shard, parse_hosts, pop
from asgi_redis.process.wakeup import WakeupPipe
from tests.support.queues import QueueOperations


@pytest.fixture
def operations(prefix):
    return QueueOperations(prefix)


@pytest.fixture
def shards(three_redis_servers):
    shards = [Shard(host) for host in parse_hosts([server.url for server in three_redis_servers], None)]
    yield shards
    for shard in shards:
        shard.drop_idle()


@pytest.fixture
def key(prefix):
    return f"{prefix}work".encode()


@pytest.fixture
def wait(shards, operations, key):
    """Waits on all shards, or those given; returns the member or None."""

    def wait(timeout=5.0, waiter=None, on=None):
        requests = [(shard, operations.pop([key], timeout)) for shard in on or shards]
        hand = Hand()
        try:
            taken = pop(requests, timeout, waiter or WakeupPipe(), operations.requeue, hand)
        except BaseException:
            hand.requeue()
            raise
        return taken and taken.member

    return wait
