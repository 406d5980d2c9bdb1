"""Three shards, a queue's key on them, and a wait for a message."""

from __future__ import annotations

import pytest

from asgi_redis.connection import BlockingPop, Server, Shard, parse_hosts, requeue_taken, wait_for_first
from asgi_redis.process import fork
from asgi_redis.process.wakeup import WakeupPipe
from tests.support.queues import QueueOperations


@pytest.fixture
def operations(prefix):
    return QueueOperations(prefix)


@pytest.fixture
def shards(three_redis_servers):
    shards = [Shard(Server(host)) for host in parse_hosts([server.url for server in three_redis_servers], None)]
    yield shards
    for shard in shards:
        shard.server.drop_idle()


@pytest.fixture
def key(prefix):
    return f"{prefix}work".encode()


@pytest.fixture
def pops_of(operations, key):
    """Makes a blocking pop on each of the shards."""

    def pops_of(shards, timeout):
        operation = operations.pop([b"work"], timeout)
        return [BlockingPop(shard, operation, operations.requeue, fork.check()) for shard in shards]

    return pops_of


@pytest.fixture
def wait(shards, pops_of):
    """Waits on all shards, or those given; returns the member or None."""

    def wait(timeout=5.0, wakeup=None, on=None):
        pops = pops_of(on or shards, timeout)
        try:
            wait_for_first(pops, wakeup or WakeupPipe(), timeout, False)
        except BaseException:
            requeue_taken(pops)
            raise
        members = [taken.member for pop in pops for taken in pop.taken or ()]
        assert len(members) <= 1
        return members[0] if members else None

    return wait
