"""The metrics of a layer, over real servers."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

from asgi_redis import InMemoryChannelLayer, RedisChannelLayer, RedisClusterChannelLayer, RedisPubSubChannelLayer
from asgi_redis.embedded import RedisServer
from tests.support.servers import ACL_PASSWORD, ACL_USER, pause, resume
from tests.support.waiting import eventually
from workers.asgi import adapted

pytest.importorskip("prometheus_client")

from prometheus_client.parser import text_string_to_metric_families

from workers.operations.layer_metrics import LOOKUP_SECONDS, LayerMetrics, Lookup

LayerFor = Callable[..., RedisChannelLayer]


def samples(metrics: LayerMetrics, reachable: bool = True) -> dict[str, dict[str, float]]:
    """Return the samples by metric and label."""
    found: dict[str, dict[str, float]] = {}
    for family in text_string_to_metric_families("".join(metrics.text(reachable))):
        for sample in family.samples:
            found.setdefault(sample.name, {})["".join(sample.labels.values())] = sample.value
    return found


def test_each_counter_of_a_channel_is_there(layer_for: LayerFor, redis_server: RedisServer) -> None:
    layer = layer_for(redis_server, capacity=2)
    for _ in range(2):
        layer.send("a", {})
    with pytest.raises(layer.ChannelFull):
        layer.send("a", {})
    layer.count("a", "messages_undecodable", 2)
    layer.count("a", "messages_requeued", 3)
    layer.count("a", "messages_retried", 4)
    layer.count("a", "messages_expired", 5)
    found = samples(LayerMetrics(layer, ["a", "b"]))
    expected = {"sent": 2, "refused": 1, "undecodable": 2, "requeued": 3, "retried": 4, "expired": 5}
    for name, number in expected.items():
        assert found[f"runworker_queue_{name}_total"] == {"a": number, "b": 0}, name
    assert found["runworker_queue_messages"] == {"a": 2, "b": 0}
    assert found["runworker_queue_capacity"] == {"a": 2, "b": 2}
    assert found["runworker_layer_up"] == {"": 1}


def test_each_server_is_up_or_not(
    layer_for: LayerFor, redis_server: RedisServer, three_fresh_redis_servers: list[RedisServer]
) -> None:
    away, hung, _ = three_fresh_redis_servers
    layer = layer_for(redis_server, away, hung)
    metrics = LayerMetrics(layer, ["a"])
    names = layer.hosts
    eventually(lambda: samples(metrics)["runworker_server_up"] == dict.fromkeys(names, 1))
    away.kill()
    pause(hung)
    try:
        found = eventually(lambda: (told := samples(metrics)).get("runworker_server_up", {}).get(names[0]) and told)
    finally:
        resume(hung)
    assert found["runworker_server_up"] == {names[0]: 1, names[1]: 0, names[2]: 0}
    assert found["runworker_layer_up"] == {"": 0}
    assert "runworker_queue_messages" not in found


def test_all_is_looked_up_at_once(monkeypatch: pytest.MonkeyPatch, layer_for: LayerFor, redis_server: Any) -> None:
    layer = layer_for(redis_server)
    for place, call in (
        (layer, "many_channel_statistics"),
        (layer.inspector, "servers"),
        (layer.inspector, "delayed"),
    ):
        monkeypatch.setattr(place, call, lambda *_: time.sleep(10))
    began = time.monotonic()
    found = samples(LayerMetrics(layer, ["a"]))
    assert LOOKUP_SECONDS <= time.monotonic() - began < 2 * LOOKUP_SECONDS
    assert found == {"runworker_layer_up": {"": 0}, "runworker_queue_capacity": {"a": 100}}


def test_servers_that_were_known_are_down_where_no_lookup_ends(
    monkeypatch: pytest.MonkeyPatch, layer_for: LayerFor, redis_server: RedisServer
) -> None:
    layer = layer_for(redis_server)
    inspect, hangs = layer.inspector.servers, False

    def servers(timeout: float) -> Any:
        return time.sleep(10) if hangs else inspect(timeout)

    monkeypatch.setattr(layer.inspector, "servers", servers)
    metrics = LayerMetrics(layer, ["a"])
    eventually(lambda: samples(metrics)["runworker_server_up"] == {layer.hosts[0]: 1})
    hangs = True
    assert samples(metrics)["runworker_server_up"] == {layer.hosts[0]: 0}


def test_of_a_layer_that_is_away_the_servers_alone_are_asked(layer_for: LayerFor, redis_server: RedisServer) -> None:
    layer = layer_for(redis_server)
    found = eventually(lambda: samples(LayerMetrics(layer, ["a"]), reachable=False))
    assert set(found) == {"runworker_layer_up", "runworker_server_up", "runworker_queue_capacity"}
    assert found["runworker_layer_up"] == {"": 0}


def test_delayed_messages_are_told_and_how_late_the_next_one_is(
    layer_for: LayerFor, redis_server: RedisServer
) -> None:
    layer = layer_for(redis_server, capacity=1)
    metrics = LayerMetrics(layer, ["a"])
    assert samples(metrics)["runworker_delayed_late_seconds"] == {"": 0}
    layer.delayed.send("a", {}, 60)
    found = samples(metrics)
    assert found["runworker_delayed_messages"] == {"": 1}
    assert found["runworker_delayed_late_seconds"] == {"": 0}
    layer.send("full", {})
    layer.delayed.send("full", {}, 0)
    eventually(lambda: 0 < samples(metrics)["runworker_delayed_late_seconds"][""] < 30)
    layer.delayed.deliver()
    found = samples(metrics)
    assert found["runworker_delayed_waiting_for_room"] == {"": 1}
    assert found["runworker_delayed_late_seconds"] == {"": 0}


def test_each_node_of_a_cluster_is_a_server(single_node_cluster: Any, prefix: str) -> None:
    with RedisClusterChannelLayer(hosts=single_node_cluster.hosts, shards=3, prefix=prefix) as layer:
        layer.count("a", "messages_retried", 2)
        layer.delayed.send("a", {}, 60)
        metrics = LayerMetrics(layer, ["a"])
        found = eventually(lambda: (told := samples(metrics)).get("runworker_delayed_messages") and told)
        assert list(found["runworker_server_up"].values()) == [1]
        assert found["runworker_queue_retried_total"] == {"a": 2}
        assert found["runworker_delayed_messages"] == {"": 1}


def test_no_label_has_a_password(acl_server: RedisServer, prefix: str) -> None:
    host = {"host": acl_server.host, "port": acl_server.port, "username": ACL_USER, "password": ACL_PASSWORD}
    with RedisChannelLayer(hosts=[host], prefix=prefix, stats_prefix=f"{prefix}-meta:") as layer:
        text = "".join(LayerMetrics(layer, ["a"]).text(True))
    assert f":{acl_server.port}/0" in text
    assert "wonder" not in text
    assert ACL_USER not in text


def test_a_layer_has_the_metrics_of_its_parts(redis_server: RedisServer, prefix: str) -> None:
    with RedisPubSubChannelLayer(hosts=[redis_server.url], prefix=prefix) as layer:
        assert set(eventually(lambda: samples(LayerMetrics(layer, ["a"])))) == {"runworker_server_up"}
    found = samples(LayerMetrics(InMemoryChannelLayer(), ["a"]))
    assert {"runworker_layer_up", "runworker_queue_messages", "runworker_queue_retried_total"} <= set(found)
    assert not [name for name in found if "server" in name or "delayed" in name]


def test_the_layer_of_another_package_has_none() -> None:
    class Foreign:
        ChannelFull = Exception

        def reader(self) -> None:
            raise NotImplementedError

    assert samples(LayerMetrics(adapted(Foreign()), ["a"])) == {}


def test_a_question_is_not_asked_again_before_it_is_answered() -> None:
    asked: list[int] = []
    go_on = threading.Event()

    def ask() -> bool:
        asked.append(1)
        return go_on.wait(10)

    lookup = Lookup("answers", ask)
    for _ in range(3):
        lookup.start()
        assert lookup.answer(time.monotonic()) is None
    go_on.set()
    assert lookup.answer(time.monotonic() + 10)
    assert asked == [1]
