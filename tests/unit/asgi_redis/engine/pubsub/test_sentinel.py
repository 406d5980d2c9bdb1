"""Shards found through Sentinels: after a failover it listens at the new master."""

from __future__ import annotations

import pytest
from redis.exceptions import RedisError

from asgi_redis.engine.pubsub import listener as listening
from tests.support.pubsub.subscribers import subscribed
from tests.support.sentinels import Cluster, run_cluster
from tests.support.waiting import eventually


@pytest.fixture
def cluster():
    with run_cluster(["one"]) as running:
        yield running


@pytest.mark.parametrize("way", ["kill -9", pytest.param("SENTINEL FAILOVER", marks=pytest.mark.soak)])
def test_after_a_failover_it_listens_at_the_new_master(pubsub_layer_for, cluster: Cluster, prefix, way, monkeypatch):
    monkeypatch.setattr(listening, "_CHECK_SECONDS", 0.2)
    layer = pubsub_layer_for(
        {"sentinels": cluster.sentinels, "master_name": "one"}, on_disconnect="down", on_reconnect="up"
    )
    channel = layer.new_channel()
    layer.group_add("chat", channel)
    old = cluster.master_of("one")
    assert len(subscribed(old, prefix)) == 2
    if way == "kill -9":
        old.kill()
    else:
        cluster.failover("one")
    new = next(server for server in cluster.services["one"] if server is not old)
    eventually(lambda: cluster.master_of("one") is new, timeout=20)
    eventually(lambda: len(subscribed(new, prefix)) == 2, timeout=20)
    received = []
    while {"type": "up"} not in received:
        received.append(eventually(lambda: layer.receive([channel], block=True)[1], timeout=20))
    assert {"type": "down"} in received

    def arrives():
        try:
            layer.send_group("chat", {"n": 1})
        except RedisError:
            return False
        return layer.receive([channel], block=True)[1] == {"n": 1}

    eventually(arrives, timeout=20)
