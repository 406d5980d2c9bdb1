"""The IPC layer keeps the promises of every layer."""

from __future__ import annotations

import functools

import pytest

from asgi_redis import IPCChannelLayer
from asgi_redis.conformance import ChannelLayerConformance
from tests.support.conformance import load_conformance_test_case

ConformanceTestCase = load_conformance_test_case()
ConformanceTestCase.__test__ = False  # only its subclasses are tests


class TestConformance(ConformanceTestCase):
    """asgiref 1.1.2's suite."""

    __test__ = True
    expiry_delay = 1.1
    capacity_limit = 5
    options = {}

    @pytest.fixture(autouse=True)
    def _layer(self, layer_for):
        self.channel_layer = layer_for(expiry=1, group_expiry=0.5, capacity=self.capacity_limit, **self.options)


@pytest.mark.soak
class TestConformanceEncrypted(TestConformance):
    """With a key, and an old key that still decrypts."""

    options = {"symmetric_encryption_keys": ["new", "old"]}


class TestOurConformance(ChannelLayerConformance):
    """This project's own suite."""

    @pytest.fixture
    def make_layer(self, base):
        return functools.partial(IPCChannelLayer, path=base)
