"""asgiref 1.1.2's conformance suite on clusters, in each set-up, and this project's own."""

from __future__ import annotations

import functools

import pytest

from asgi_redis import RedisClusterChannelLayer
from asgi_redis.conformance import ChannelLayerConformance
from tests.support.conformance import load_conformance_test_case

ConformanceTestCase = load_conformance_test_case()
ConformanceTestCase.__test__ = False


class Settings:
    __test__ = True
    expiry_delay = 1.1
    capacity_limit = 5
    cluster = "single_node_cluster"
    options = {}

    @pytest.fixture(autouse=True)
    def _layer(self, request, prefix):
        settings = {"shards": 1, "expiry": 1, "group_expiry": 0.5, "capacity": self.capacity_limit, **self.options}
        cluster = request.getfixturevalue(self.cluster)
        with RedisClusterChannelLayer(hosts=cluster.hosts, prefix=prefix, **settings) as self.channel_layer:
            yield
            self.channel_layer.flush()


@pytest.mark.soak
class TestOneShard(Settings, ConformanceTestCase):
    """One node, one shard."""


class TestThreeMasters(Settings, ConformanceTestCase):
    """Several shards on each of three nodes, with a key, and an old one that still decrypts."""

    cluster = "shared_masters"
    options = {"shards": 8, "symmetric_encryption_keys": ["new", "old"]}


@pytest.mark.soak
class TestEncrypted(Settings, ConformanceTestCase):
    """Several shards on one node, with a key, and an old one that still decrypts."""

    options = {"shards": 4, "symmetric_encryption_keys": ["new", "old"]}


@pytest.mark.soak
class TestOneShardByOurSuite(ChannelLayerConformance):
    """One node, one shard: all is in one place."""

    @pytest.fixture
    def make_layer(self, cluster_layer_for, single_node_cluster):
        return functools.partial(cluster_layer_for, single_node_cluster, shards=1)


class TestThreeMastersByOurSuite(ChannelLayerConformance):
    """Several shards on each of three nodes."""

    in_one_place = False

    @pytest.fixture
    def make_layer(self, cluster_layer_for, shared_masters):
        return functools.partial(cluster_layer_for, shared_masters, shards=8)
