"""asgiref 1.1.2's conformance suite on Sentinel, in each set-up."""

from __future__ import annotations

import pytest

from asgi_redis import RedisSentinelChannelLayer
from tests.conformance import load_conformance_test_case

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
            group_expiry=2,
            capacity=self.capacity_limit,
            **self.options,
        ) as self.channel_layer:
            yield
            self.channel_layer.flush()


class TestServicesGiven(Settings, ConformanceTestCase):
    options = {"services": ["one", "two"]}


class TestServicesDiscovered(Settings, ConformanceTestCase):
    """Every service that the Sentinels watch."""


class TestCached(Settings, ConformanceTestCase):
    options = {"services": ["one"], "sentinel_refresh_interval": 10}


class TestEncrypted(Settings, ConformanceTestCase):
    options = {"symmetric_encryption_keys": ["new", "old"]}
