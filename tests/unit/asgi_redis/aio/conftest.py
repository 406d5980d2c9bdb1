"""Fixtures for the asynchronous layers."""

from __future__ import annotations

import asyncio

import pytest
import redis

from asgi_redis.aio import AsyncChannelLayer, RedisChannelLayer
from asgi_redis.embedded import RedisServer


@pytest.fixture
def closing():
    """``closing(layer)`` has an asynchronous layer closed in the end, and returns it."""
    layers: list[AsyncChannelLayer] = []

    def remember(layer):
        layers.append(layer)
        return layer

    yield remember
    for layer in layers:
        asyncio.run(layer.close())


@pytest.fixture
def aio_for(prefix, closing):
    """``aio_for(*hosts, **settings)`` makes a layer under ``prefix``."""

    def make(*hosts, **settings):
        urls = [host.url if isinstance(host, RedisServer) else host for host in hosts]
        return closing(RedisChannelLayer(urls, **{"prefix": prefix, "stats_prefix": f"{prefix}-meta:", **settings}))

    return make


@pytest.fixture
def layer(aio_for, redis_server):
    return aio_for(redis_server)


@pytest.fixture
def client(redis_server):
    with redis.Redis.from_url(redis_server.url) as client:
        yield client
