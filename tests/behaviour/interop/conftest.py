"""Fixtures of the tests with channels_redis."""

from __future__ import annotations

import pytest
from channels_redis import core

from asgi_redis import aio
from asgi_redis.embedded import RedisServer
from tests.support.both_layers import Both


@pytest.fixture
def both(redis_server: RedisServer) -> Both:
    """The two layers on one Redis, which other tests use as well."""
    return Both([redis_server.url], core.RedisChannelLayer, aio.RedisChannelLayer)


@pytest.fixture
def both_on_three(three_redis_servers: list[RedisServer]) -> Both:
    """The two layers on three of them."""
    return Both([server.url for server in three_redis_servers], core.RedisChannelLayer, aio.RedisChannelLayer)
