from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Iterator

import pytest

from asgi_redis import RedisPubSubChannelLayer
from asgi_redis.aio import RedisPubSubChannelLayer as AsyncPubSubLayer
from asgi_redis.embedded import RedisServer
from tests.support.proxy import Proxy


@pytest.fixture
def pubsub_layer_for(prefix: str) -> Iterator[Callable[..., RedisPubSubChannelLayer]]:
    """``pubsub_layer_for(*hosts, **settings)`` makes a layer under ``prefix`` that is closed in the end."""
    with contextlib.ExitStack() as stack:

        def make(*hosts: object, **settings: object) -> RedisPubSubChannelLayer:
            addresses = [host.url if isinstance(host, (RedisServer, Proxy)) else host for host in hosts]
            settings = {"hosts": addresses, "prefix": prefix, **settings}
            return stack.enter_context(RedisPubSubChannelLayer(**settings))  # type: ignore[arg-type]

        yield make


@pytest.fixture
def layer(pubsub_layer_for: Callable[..., RedisPubSubChannelLayer], redis_server: RedisServer):
    return pubsub_layer_for(redis_server)


@pytest.fixture
def other(pubsub_layer_for: Callable[..., RedisPubSubChannelLayer], redis_server: RedisServer):
    """A second layer on the same Redis, as in another process."""
    return pubsub_layer_for(redis_server)


@pytest.fixture
def aio_for(prefix):
    """``aio_for(*hosts, **settings)`` makes a layer under ``prefix`` that is closed in the end."""
    layers = []

    def make(*hosts, **settings):
        layers.append(AsyncPubSubLayer([host.url for host in hosts], **{"prefix": prefix, **settings}))
        return layers[-1]

    yield make
    for layer in layers:
        asyncio.run(layer.close())
