"""Tests of the project: the suite for a layer, and a Redis for them."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from asgi_redis import InMemoryChannelLayer, RedisChannelLayer
from asgi_redis.conformance import ChannelLayerConformance
from asgi_redis.conformance.suite import MakeLayer
from asgi_redis.embedded import RedisServer


class TestMyLayer(ChannelLayerConformance):
    crosses_processes = False

    @pytest.fixture
    def make_layer(self) -> MakeLayer:
        return InMemoryChannelLayer


@pytest.fixture(scope="session")
def redis_server() -> Iterator[RedisServer]:
    with RedisServer() as server:
        yield server


def test_the_layer(redis_server: RedisServer) -> None:
    layer = RedisChannelLayer(hosts=[redis_server.url])
    layer.send("a", {"n": 1})
    assert layer.receive(["a"]) == ("a", {"n": 1})
