"""Fixtures for the asynchronous layers."""

from __future__ import annotations

import asyncio

import pytest
import redis

from asgi_redis.aio import AsyncChannelLayer, RedisChannelLayer, RedisClusterChannelLayer
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
def cluster_for(prefix, closing):
    """``cluster_for(cluster, **settings)`` makes a layer over a cluster under ``prefix``, with two shards."""

    def make(cluster, **settings):
        return closing(RedisClusterChannelLayer(cluster.hosts, **{"prefix": prefix, "shards": 2, **settings}))

    return make


@pytest.fixture
def layer(aio_for, redis_server):
    return aio_for(redis_server)


@pytest.fixture
def on_cluster(cluster_for, single_node_cluster):
    """A layer with one shard: normal channels have one order."""
    return cluster_for(single_node_cluster, shards=1)


@pytest.fixture(params=["layer", "on_cluster"])
def any_layer(request):
    """A layer over one server, and one over a cluster."""
    return request.getfixturevalue(request.param)


@pytest.fixture
def client(redis_server):
    with redis.Redis.from_url(redis_server.url) as client:
        yield client
