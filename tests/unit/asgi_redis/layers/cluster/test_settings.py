"""The settings of a layer over a cluster."""

from __future__ import annotations

from urllib.parse import quote

import pytest
import redis

from asgi_redis import RedisChannelLayer, RedisClusterChannelLayer
from asgi_redis.exceptions import ConfigurationError, UnknownSetting, UnsupportedRedis
from tests.support import servers
from tests.support.passwords import SECRET

URL = f"redis://user:{SECRET}@a:7000"


@pytest.mark.parametrize("shards", [0, -1, 4097, "3", 3.0, True, [3], float("nan")])
def test_shards_are_a_whole_number_from_1_to_4096(shards):
    with pytest.raises(ConfigurationError, match="shards must be a whole number from 1 to 4096, not"):
        RedisClusterChannelLayer(shards=shards)


def test_there_may_be_4096_shards():
    assert RedisClusterChannelLayer(shards=4096).ring_size == 4096


def test_a_node_may_have_a_connection_for_each_shard():
    RedisClusterChannelLayer(shards=4, connection_kwargs={"max_connections": 4})
    with pytest.raises(ConfigurationError, match="max_connections is 3 and shards 4"):
        RedisClusterChannelLayer(shards=4, connection_kwargs={"max_connections": 3})


@pytest.mark.parametrize("settings", [{}, {"shards": None}])
def test_without_shards_the_error_says_what_they_are(settings):
    with pytest.raises(ConfigurationError, match="shards is missing: the number of parts"):
        RedisClusterChannelLayer(hosts=[URL], **settings)


@pytest.mark.parametrize("setting", ["host", "port", "db", "stats_prefix"])
def test_what_a_cluster_cannot_have_is_refused(setting):
    with pytest.raises(UnknownSetting, match=f"RedisClusterChannelLayer has no setting '{setting}'"):
        RedisClusterChannelLayer(shards=3, **{setting: 0})


@pytest.mark.parametrize("prefix", ["", "{", "a}b", "{a}", b"a", None])
def test_the_prefix_is_a_part_of_a_hash_tag(prefix):
    with pytest.raises(ConfigurationError, match="prefix must be a str"):
        RedisClusterChannelLayer(shards=3, prefix=prefix)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"hosts": URL}, "hosts must be a list"),
        ({"hosts": []}, "hosts is empty"),
        ({"hosts": ("a", 7000)}, r"hosts\[0\]: not a URL"),
        ({"hosts": [f"{URL}/3"]}, r"hosts\[0\]: a Redis Cluster has the database 0 only"),
        ({"hosts": [f"{URL}?db=3"]}, "the database 0 only"),
        ({"hosts": [URL, {"host": "b", "db": 3}]}, r"hosts\[1\]: a Redis Cluster has the database 0 only"),
        ({"hosts": [URL], "connection_kwargs": {"db": 3}}, "the database 0 only"),
        ({"hosts": [URL, "unix:///run/redis.sock"]}, r"hosts\[1\]: .*by host and port only"),
        ({"hosts": [{"path": "/run/redis.sock", "password": SECRET}]}, "by host and port only"),
        (
            {"hosts": [{"sentinels": [("s", 26379)], "master_name": "m", "password": SECRET}]},
            "by host and port only",
        ),
        ({"hosts": [URL, "redis://b:7000"]}, r"hosts\[1\] has other options than hosts\[0\].*connection_kwargs"),
        ({"hosts": [URL, URL.replace(SECRET, f"{SECRET}2")]}, "has other options"),
        ({"hosts": [URL, URL.replace("redis:", "rediss:")]}, "has other options"),
        ({"hosts": [("a", 1), {"host": "b", "port": 1, "max_connections": 5}]}, "has other options"),
        ({"hosts": [{"host": "a", "passwort": SECRET}]}, "passwort"),
        ({"hosts": [("a", 1)], "connection_kwargs": {"require_full_coverage": True}}, "require_full_coverage"),
        ({"hosts": [("a", 1)], "address_remap": ("b", 1)}, "address_remap must be a function"),
        ({"hosts": [("a", 1)], "expiry": 0}, "expiry must be"),
    ],
)
def test_settings_that_cannot_work_are_refused_without_a_password(settings, said):
    with pytest.raises(ConfigurationError, match=said) as raised:
        RedisClusterChannelLayer(shards=3, **settings)
    assert SECRET not in str(raised.value)


@pytest.mark.parametrize(
    "hosts",
    [
        ["redis://a:7000", "valkey://b:7001/0"],
        [("a", "7000"), {"host": "b", "port": 7001, "db": 0}],
        [{"address": "redis://a:7000"}, {"host": "b", "port": 7001, "db": "0"}],
        ["rediss://a:7000", {"host": "b", "port": 7001, "ssl": True}],
    ],
)
def test_start_nodes_may_be_written_in_every_way(hosts):
    layer = RedisClusterChannelLayer(hosts=hosts, shards=3)
    assert [host.partition("://")[2] for host in layer.hosts] == ["a:7000", "b:7001"]


def test_its_text_has_the_start_nodes_and_no_password():
    hosts = [URL, URL.replace("a:7000", "b:7001")]
    with RedisClusterChannelLayer(hosts=hosts, shards=64, symmetric_encryption_keys=[SECRET]) as layer:
        assert str(layer) == "RedisClusterChannelLayer(hosts=[redis://a:7000, redis://b:7001], shards=64)"
        assert layer.hosts == ["redis://a:7000", "redis://b:7001"]
        assert SECRET not in repr(layer)


def test_without_hosts_the_start_node_is_the_redis_of_this_machine():
    assert RedisClusterChannelLayer(shards=1).hosts == ["redis://localhost:6379"]


def test_no_node_is_asked_before_the_first_call():
    with RedisClusterChannelLayer(hosts=[("127.0.0.1", 1)], shards=3) as layer:
        assert layer.ring_size == 3


def test_the_calls_say_which_nodes_do_not_answer_and_no_password():
    layer = RedisClusterChannelLayer(
        hosts=[f"redis://user:{SECRET}@127.0.0.1:1"], shards=3, connection_kwargs={"socket_connect_timeout": 0.1}
    )
    with layer, pytest.raises(redis.ConnectionError, match=r"cluster of redis://127\.0\.0\.1:1 answers") as raised:
        layer.send("work", {})
    assert SECRET not in str(raised.value)


def test_a_server_that_is_no_cluster_is_named_with_the_layer_for_it(redis_server, prefix):
    with RedisClusterChannelLayer(hosts=[redis_server.url], shards=3, prefix=prefix) as layer:
        for call in (lambda: layer.send("work", {}), lambda: layer.receive(["work"]), lambda: layer.flush()):
            with pytest.raises(UnsupportedRedis, match=r"no node of a Redis Cluster.*RedisChannelLayer is for other"):
                call()


def test_user_and_password_are_those_of_all_nodes(acl_cluster, prefix):
    user, password = servers.ACL_USER, servers.ACL_PASSWORD
    host, port = acl_cluster.hosts[0]
    login = f"{quote(user)}:{quote(password, safe='')}"
    for settings in (
        {"hosts": [f"redis://{login}@{host}:{port}"]},
        {"hosts": [(host, port)], "connection_kwargs": {"username": user, "password": password}},
    ):
        with RedisClusterChannelLayer(shards=3, prefix=prefix, **settings) as layer:
            layer.send("work", {"n": 1})
            assert layer.receive(["work"]) == ("work", {"n": 1})
    wrong = f"redis://{quote(user)}:{SECRET}@{host}:{port}"
    with RedisClusterChannelLayer(hosts=[wrong], shards=3, prefix=prefix) as layer:
        with pytest.raises(redis.AuthenticationError, match="does not take the user name or password") as raised:
            layer.send("work", {})
        assert SECRET not in str(raised.value)


class TestTheNumberOfShards:
    def test_another_one_than_that_of_other_processes_is_an_error_in_every_call(
        self, cluster_layer_for, single_node_cluster
    ):
        cluster_layer_for(single_node_cluster, shards=3).send("work", {"n": 1})
        other = cluster_layer_for(single_node_cluster, shards=4)
        said = "shards is 4, but other processes that use shard .*:0} of the cluster of .* have 3"
        # All that use shard 0, which the others have written down.
        for call in (
            lambda: [other.send("work", {}) for _ in range(4)],
            lambda: other.receive(["work"]),
            lambda: other.receive(["work"], block=True),
            lambda: other.receive_batch(["work"], 10),
            lambda: other.global_statistics(),
            lambda: other.delayed.deliver(),
            lambda: other.flush(),
        ):
            with pytest.raises(ConfigurationError, match=said):
                call()

    def test_a_plain_layer_says_which_layer_is_for_a_cluster(self, single_node_cluster, shared_masters, prefix):
        for cluster in (single_node_cluster, shared_masters):
            with RedisChannelLayer(hosts=cluster.urls, prefix=prefix) as layer:
                for call in (lambda: layer.send("work", {}), lambda: layer.receive(["work", "play"])):
                    with pytest.raises(UnsupportedRedis, match="RedisClusterChannelLayer"):
                        call()
