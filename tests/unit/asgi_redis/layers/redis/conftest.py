"""The layers that the tests of ``layer.py`` use."""

from __future__ import annotations

import pytest
import redis


@pytest.fixture
def layer(layer_for, redis_server):
    return layer_for(redis_server)


@pytest.fixture
def sharded(layer_for, three_redis_servers):
    return layer_for(*three_redis_servers)


@pytest.fixture(params=["plain", "sharded", "encrypted", "json"])
def any_layer(request, layer_for, redis_server, three_redis_servers):
    servers = three_redis_servers if request.param == "sharded" else [redis_server]
    settings = {
        "encrypted": {"symmetric_encryption_keys": ["key"]},
        "json": {"serializer_format": "json"},
    }
    return layer_for(*servers, **settings.get(request.param, {}))


@pytest.fixture
def client(redis_server):
    with redis.Redis(port=redis_server.port, protocol=2) as client:
        yield client
