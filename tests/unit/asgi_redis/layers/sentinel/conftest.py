from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from asgi_redis import RedisSentinelChannelLayer
from tests.support.sentinels import PATIENT_DOWN_AFTER_MILLISECONDS, Cluster, run_cluster


@pytest.fixture(scope="session")
def cluster() -> Iterator[Cluster]:
    """Two services, ``one`` and ``two``, watched by three Sentinels; not to be failed over."""
    with run_cluster(["two", "one"], down_after_milliseconds=PATIENT_DOWN_AFTER_MILLISECONDS) as running:
        yield running


@pytest.fixture
def fresh_cluster() -> Iterator[Cluster]:
    """One service, ``one``, the test's own: kill what you like."""
    with run_cluster(["one"]) as running:
        yield running


@pytest.fixture
def sentinel_layer_for(prefix: str) -> Iterator[Callable[..., RedisSentinelChannelLayer]]:
    """``sentinel_layer_for(cluster, **settings)``: a layer under ``prefix`` that is closed in the end."""
    layers: list[RedisSentinelChannelLayer] = []

    def make(cluster: Cluster, **settings: object) -> RedisSentinelChannelLayer:
        settings = {"hosts": cluster.sentinels, "prefix": prefix, "stats_prefix": f"{prefix}-meta:", **settings}
        layers.append(RedisSentinelChannelLayer(**settings))  # type: ignore[arg-type]
        return layers[-1]

    yield make
    for layer in layers:
        layer.close()
