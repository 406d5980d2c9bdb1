from __future__ import annotations

import contextlib

import pytest

from asgi_redis import InMemoryChannelLayer, RedisChannelLayer, RedisLocalChannelLayer
from tests.support.stores.lmdb_stores import base  # noqa: F401  a fixture


@pytest.fixture
def local_layer_for(redis_server, prefix, base):  # noqa: F811
    """``local_layer_for(**settings)``: on the shared server and an IPC layer, unless they say otherwise."""
    with contextlib.ExitStack() as stack:

        def make(**settings):
            local = {"BACKEND": "asgi_redis.IPCChannelLayer", "CONFIG": {"path": base}}
            settings = {
                "hosts": [redis_server.url],
                "prefix": prefix,
                "stats_prefix": f"{prefix}-meta:",
                "local_layer": local,
                **settings,
            }
            return stack.enter_context(RedisLocalChannelLayer(**settings))

        yield make


@pytest.fixture(params=["ipc", "memory"])
def layer(request, local_layer_for):
    return local_layer_for() if request.param == "ipc" else local_layer_for(local_layer=InMemoryChannelLayer())


@pytest.fixture
def redis_layer(redis_server, prefix):
    """What another machine sees: the Redis side alone."""
    with RedisChannelLayer(hosts=[redis_server.url], prefix=prefix, stats_prefix=f"{prefix}-meta:") as layer:
        yield layer
