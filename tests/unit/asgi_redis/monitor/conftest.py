"""A layer on a server that is empty: commands without a stats_prefix see the counters of all layers there."""

from __future__ import annotations

import pytest
import redis

from asgi_redis import RedisChannelLayer
from asgi_redis.embedded import RedisServer


@pytest.fixture(scope="session")
def monitored_server():
    with RedisServer() as server:
        yield server


@pytest.fixture
def layer(monitored_server):
    with redis.Redis.from_url(monitored_server.url, protocol=2) as client:
        client.flushall()
    with RedisChannelLayer(hosts=[monitored_server.url]) as layer:
        yield layer
