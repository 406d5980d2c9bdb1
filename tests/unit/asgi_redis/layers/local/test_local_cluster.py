"""``RedisLocalChannelLayer`` over a Redis Cluster: normal channels here, everything else on the cluster."""

from __future__ import annotations

import contextlib
import functools
import time

import pytest

from asgi_redis import InMemoryChannelLayer, RedisClusterChannelLayer, RedisLocalChannelLayer
from asgi_redis.conformance import ChannelLayerConformance
from asgi_redis.exceptions import ConfigurationError
from tests.support.clusters import of_redis_in_the_suite
from tests.support.conformance import load_conformance_test_case
from tests.support.waiting import eventually

MIXED = ["normal", "mine!", "single?reader"]

ConformanceTestCase = load_conformance_test_case()
ConformanceTestCase.__test__ = False


@pytest.fixture
def local_layer_for(prefix, base):
    """``local_layer_for(cluster, **settings)``: eight shards and an IPC layer, unless they say otherwise."""
    with contextlib.ExitStack() as stack:

        def make(cluster, **settings):
            local = {"BACKEND": "asgi_redis.IPCChannelLayer", "CONFIG": {"path": base}}
            settings = {"hosts": cluster.hosts, "shards": 8, "prefix": prefix, "local_layer": local, **settings}
            return stack.enter_context(RedisLocalChannelLayer(**settings))

        yield make


@pytest.fixture(params=["ipc", "memory"])
def layer(request, local_layer_for, shared_masters):
    settings = {} if request.param == "ipc" else {"local_layer": InMemoryChannelLayer()}
    return local_layer_for(shared_masters, **settings)


@pytest.fixture
def cluster_layer(shared_masters, prefix):
    """What another machine sees: the cluster alone."""
    with RedisClusterChannelLayer(hosts=shared_masters.hosts, shards=8, prefix=prefix) as layer:
        yield layer


class TestConformance(ConformanceTestCase):
    """asgiref 1.1.2's suite, over three masters."""

    __test__ = True
    expiry_delay = 1.1
    capacity_limit = 5

    @pytest.fixture(autouse=True)
    def _layer(self, local_layer_for, shared_masters):
        settings = {"expiry": 1, "group_expiry": 0.5, "capacity": self.capacity_limit}
        self.channel_layer = local_layer_for(shared_masters, **settings)
        yield
        self.channel_layer.flush()


@pytest.mark.soak
class TestOurConformance(ChannelLayerConformance):
    """This project's own suite, over one shard."""

    @pytest.fixture
    def make_layer(self, local_layer_for, single_node_cluster):
        return functools.partial(local_layer_for, single_node_cluster, shards=1)


def test_normal_channels_stay_here_and_all_others_are_on_the_cluster(layer, cluster_layer):
    for channel in ("normal", "mine!1", "single?reader"):
        layer.send(channel, {"to": channel})
    assert cluster_layer.receive(["normal"]) == (None, None)
    assert cluster_layer.receive(["mine!"]) == ("mine!1", {"to": "mine!1"})
    assert cluster_layer.receive(["single?reader"]) == ("single?reader", {"to": "single?reader"})
    assert layer.receive(["normal"]) == ("normal", {"to": "normal"})


def test_a_receive_of_both_kinds_waits_for_both(layer, cluster_layer):
    for sender, channel in ((layer, "normal"), (cluster_layer, "mine!1"), (cluster_layer, "single?reader")):
        sender.send(channel, {"to": channel})
        assert layer.receive_batch(MIXED, 5, 5) == [(channel, {"to": channel})]


def test_a_group_reaches_its_members_on_the_cluster_and_the_normal_ones_here(layer, cluster_layer):
    for channel in ("normal", "mine!1", "mine!2", "single?reader"):
        layer.group_add("chat", channel)
    assert sorted(cluster_layer.group_channels("chat")) == ["mine!1", "mine!2", "normal", "single?reader"]
    assert layer.send_group("chat", {"n": 1}) == 0
    assert layer.receive(["normal"]) == ("normal", {"n": 1})
    assert cluster_layer.receive(["normal"]) == (None, None)
    received = cluster_layer.receive_batch(["mine!"], 5) + cluster_layer.receive_batch(["single?reader"], 5)
    assert sorted(received) == [("mine!1", {"n": 1}), ("mine!2", {"n": 1}), ("single?reader", {"n": 1})]


def test_delayed_messages_of_both_kinds_come(layer):
    layer.delayed.send("normal", {"n": 1}, 0.05)
    layer.delayed.send("mine!1", {"n": 2}, 0.05)
    received = []

    def are_both_there():
        layer.delayed.deliver()
        received.extend(layer.receive_batch(MIXED, 5) + layer.receive_batch(MIXED, 5))
        return len(received) >= 2

    eventually(are_both_there)
    assert sorted(received) == [("mine!1", {"n": 2}), ("normal", {"n": 1})]


def test_statistics_and_flush_are_those_of_both(layer):
    for channel in ("normal", "mine!1", "single?reader"):
        layer.send(channel, {})
        layer.group_add("chat", channel)
        assert layer.channel_statistics(channel)["messages_pending"] == 1
    assert layer.global_statistics()["messages_count"] == 3
    layer.flush()
    assert layer.global_statistics()["messages_count"] == 0
    assert layer.receive_batch(MIXED, 5) == []
    assert layer.group_channels("chat") == []


@of_redis_in_the_suite
def test_a_reader_goes_on_with_normal_channels_while_the_cluster_is_down(local_layer_for, fresh_single_node_cluster):
    cluster = fresh_single_node_cluster
    layer = local_layer_for(cluster)
    reader = layer.reader()
    with contextlib.closing(reader):
        layer.send("mine!1", {"n": 0})
        assert reader.receive_batch(MIXED, 5, 5) == [("mine!1", {"n": 0})]
        cluster.kill(cluster.nodes[0])
        eventually(lambda: reader.receive_batch(MIXED, 5, 0.01) == [] and not reader.complete)
        layer.send("normal", {"n": 1})
        started = time.monotonic()
        assert reader.receive_batch(MIXED, 5, 10) == [("normal", {"n": 1})]
        assert time.monotonic() - started < 8
        cluster.nodes[0].start()
        eventually(lambda: cluster_serves(layer), timeout=20)
        received = []
        eventually(lambda: received.extend(reader.receive_batch(MIXED, 5, 0.5)) or received, timeout=20)
        assert received == [("mine!1", {"n": 2})]


def cluster_serves(layer):
    with contextlib.suppress(Exception):
        layer.send("mine!1", {"n": 2})
        return True


class TestSettings:
    def test_what_the_cluster_cannot_have_is_refused(self):
        for name, value in {"host": "h", "port": 1, "db": 0, "stats_prefix": "x"}.items():
            with pytest.raises(ConfigurationError, match=f"{name} has no meaning with shards"):
                RedisLocalChannelLayer(shards=3, **{name: value})
        with pytest.raises(ConfigurationError, match="address_remap is for a Redis Cluster, which needs the setting"):
            RedisLocalChannelLayer(address_remap=print)

    def test_its_text_says_both_sides(self, local_layer_for, single_node_cluster):
        layer = local_layer_for(single_node_cluster)
        node = f"redis://127.0.0.1:{single_node_cluster.nodes[0].port}"
        assert str(layer) == f"RedisLocalChannelLayer(hosts=[{node}], shards=8, local_layer={layer.local_layer})"
