from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator

import pytest

from asgi_redis import RedisClusterChannelLayer
from tests.support.clusters import Cluster


@pytest.fixture
def cluster_layer_for(prefix: str) -> Iterator[Callable[..., RedisClusterChannelLayer]]:
    """``cluster_layer_for(cluster, **settings)``: a layer under ``prefix`` that is closed in the end."""
    with contextlib.ExitStack() as stack:

        def make(cluster: Cluster, **settings: object) -> RedisClusterChannelLayer:
            settings = {"hosts": cluster.hosts, "shards": 3, "prefix": prefix, **settings}
            return stack.enter_context(RedisClusterChannelLayer(**settings))  # type: ignore[arg-type]

        yield make
