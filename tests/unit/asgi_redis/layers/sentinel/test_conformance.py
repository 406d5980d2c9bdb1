"""asgiref 1.1.2's conformance suite on Sentinel, in each set-up, and this project's own."""

from __future__ import annotations

import functools

import pytest

from asgi_redis import RedisSentinelChannelLayer
from asgi_redis.conformance import ChannelLayerConformance
from tests.support.conformance import load_conformance_test_case

ConformanceTestCase = load_conformance_test_case()
ConformanceTestCase.__test__ = False


class Settings:
    __test__ = True
    expiry_delay = 1.1
    capacity_limit = 5
    options = {}

    @pytest.fixture(autouse=True)
    def _layer(self, cluster, prefix):
        with RedisSentinelChannelLayer(
            hosts=cluster.sentinels,
            prefix=prefix,
            expiry=1,
            group_expiry=0.5,
            capacity=self.capacity_limit,
            **self.options,
        ) as self.channel_layer:
            yield
            self.channel_layer.flush()


@pytest.mark.soak
class TestServicesGiven(Settings, ConformanceTestCase):
    options = {"services": ["one", "two"]}


@pytest.mark.soak
class TestServicesDiscovered(Settings, ConformanceTestCase):
    """Every service that the Sentinels watch."""


@pytest.mark.soak
class TestCached(Settings, ConformanceTestCase):
    options = {"services": ["one"], "sentinel_refresh_interval": 10}


class TestEncrypted(Settings, ConformanceTestCase):
    options = {"symmetric_encryption_keys": ["new", "old"]}


class TestOurConformance(ChannelLayerConformance):
    """Two services, which are two shards."""

    in_one_place = False

    @pytest.fixture
    def make_layer(self, cluster, sentinel_layer_for):
        return functools.partial(sentinel_layer_for, cluster)
