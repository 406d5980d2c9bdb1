"""What ``RedisSentinelChannelLayer`` takes, and what it finds with it."""

from __future__ import annotations

import pytest
import redis

from asgi_redis import RedisSentinelChannelLayer
from asgi_redis.embedded import RedisServer
from tests.support.proxy import Proxy
from tests.support.sentinels import client_of, run_cluster
from tests.support.servers import pause, resume


def test_services_are_shards_in_the_order_given(cluster, sentinel_layer_for):
    layer = sentinel_layer_for(cluster, services=["two", "one"])
    assert str(layer) == "RedisSentinelChannelLayer(hosts=[sentinel service two, sentinel service one])"


def test_without_services_all_that_are_watched_are_shards_in_sorted_order(cluster, sentinel_layer_for):
    layer = sentinel_layer_for(cluster)
    assert str(layer) == "RedisSentinelChannelLayer(hosts=[sentinel service one, sentinel service two])"
    for n in range(10):
        layer.send("work", {"n": n})
    for name in ("one", "two"):
        with client_of(cluster.services[name][0]) as client:
            assert client.zcard(f"{layer.prefix}work") == 5
    assert len(layer.receive_batch(["work"], 10)) == 10


def test_sentinels_that_are_down_or_silent_are_passed_over(cluster, sentinel_layer_for):
    with RedisServer() as silent:
        pause(silent)
        hosts = [("127.0.0.1", 1), (silent.host, silent.port), *cluster.sentinels]
        layer = sentinel_layer_for(cluster, hosts=hosts)
        layer.send("work", {"n": 1})
        assert layer.receive(["work"])[1] == {"n": 1}
        resume(silent)


def test_the_answer_of_the_sentinels_holds_for_the_refresh_interval(cluster, sentinel_layer_for):
    watcher = cluster.watchers[0]
    with Proxy((watcher.host, watcher.port)) as proxy:
        for interval, questions in ((60, 0), (0, 3)):
            layer = sentinel_layer_for(
                cluster, hosts=[(proxy.host, proxy.port)], services=["one"], sentinel_refresh_interval=interval
            )
            layer.send("work", {})
            proxy.reset_counters()
            for _ in range(3):
                layer.close()  # so that each send needs a new connection
                layer.send("work", {})
            assert proxy.round_trips == questions


def test_passwords_of_the_sentinels(prefix):
    with run_cluster(["one"], replicas=0, watchers=1, password="theirs") as cluster:
        settings = {"hosts": cluster.sentinels, "services": ["one"], "prefix": prefix}
        with RedisSentinelChannelLayer(**settings, sentinel_kwargs={"password": "theirs"}) as layer:
            layer.send("work", {"n": 1})
            assert layer.receive(["work"])[1] == {"n": 1}
            assert "theirs" not in str(layer)
        with RedisSentinelChannelLayer(**settings) as layer, pytest.raises(redis.exceptions.RedisError):
            layer.send("work", {})


def test_a_sentinel_dict_and_a_plain_host_mix(cluster, redis_server, layer_for):
    layer = layer_for({"sentinels": cluster.sentinels, "master_name": "one"}, redis_server)
    for n in range(4):
        layer.send("work", {"n": n})
    with client_of(cluster.services["one"][0]) as one, client_of(redis_server) as plain:
        assert one.zcard(f"{layer.prefix}work") == plain.zcard(f"{layer.prefix}work") == 2


def test_a_replica_that_a_sentinel_takes_for_the_master_is_not_written_to(cluster, sentinel_layer_for):
    """The server itself is asked: the Sentinel may not know yet."""
    layer = sentinel_layer_for(cluster, services=["one"])
    replica = cluster.services["one"][1]
    layer._shards[0].server.host._cluster._masters["one"] = ((replica.host, replica.port), float("inf"))
    layer._shards[0].server.host._cluster._refresh_interval = 1
    with pytest.raises(redis.exceptions.ConnectionError, match="not served by a master"):
        layer.send("work", {})
    layer.send("work", {})


@pytest.mark.parametrize(
    ("settings", "error", "said"),
    [
        ({"hosts": ["redis://s"]}, ValueError, "not URLs"),
        ({"hosts": None}, ValueError, "list of"),
        ({"services": "one"}, ValueError, "list of names"),
        ({"services": ["one", "one"]}, ValueError, "twice"),
        ({"sentinel_refresh_interval": -1}, ValueError, "at least 0"),
        ({"sentinel_refresh": 1}, TypeError, "did you mean 'sentinel_refresh_interval'"),
        ({"connection_kwargs": {"socket_timeou": 1}}, ValueError, "socket_timeou"),
        ({"expiry": 0}, ValueError, "expiry"),
    ],
)
def test_settings_that_cannot_work_are_refused(settings, error, said):
    with pytest.raises(error, match=said):
        RedisSentinelChannelLayer(**{"hosts": [("127.0.0.1", 1)], "services": ["one"], **settings})


def test_services_to_be_found_need_a_sentinel_that_answers():
    with pytest.raises(redis.exceptions.ConnectionError, match=r"none of the Sentinels 127\.0\.0\.1:1 tells"):
        RedisSentinelChannelLayer(hosts=[("127.0.0.1", 1)])
