"""Pub/sub over the nodes of a cluster, by the slot of each name."""

from __future__ import annotations

import time

import pytest
import redis
from redis.exceptions import AuthenticationError, ResponseError

from asgi_redis import RedisPubSubChannelLayer
from asgi_redis.exceptions import ConfigurationError, UnsupportedRedis
from tests.support.clusters import run_single_node_cluster
from tests.support.pubsub.nodes import all_listening, listeners, listening
from tests.support.pubsub.subscribers import drain
from tests.support.servers import ACL_PASSWORD, ACL_USER
from tests.support.waiting import eventually

pytestmark = pytest.mark.needs_redis(7, 0)  # sharded pub/sub


@pytest.fixture
def cluster(shared_masters):
    return shared_masters


@pytest.fixture
def layer(pubsub_layer_for, cluster):
    return pubsub_layer_for(*cluster.urls, cluster=True)


@pytest.fixture
def other(pubsub_layer_for, cluster):
    """A second layer on the same cluster, as in another process."""
    return pubsub_layer_for(*cluster.urls, cluster=True)


class TestMessages:
    def test_many_channels_over_three_nodes_with_one_connection_to_each(self, layer, other, cluster, prefix):
        channels = [layer.new_channel() for _ in range(150)]
        for number, channel in enumerate(channels):
            layer.group_add(f"chat.{number % 30}", channel)
        names = {*channels, *(f"{prefix}__group__chat.{number}" for number in range(30))}
        found = [listening(cluster, prefix, node) for node in cluster.masters()]
        assert all(len(one) > 20 for one in found)
        assert sorted(names) == sorted(name for one in found for name in one)
        assert [listeners(cluster, node) for node in cluster.masters()] == [1, 1, 1]
        for number in range(5):
            for channel in channels:
                other.send(channel, {"n": number})
        for channel in channels:
            eventually(lambda channel=channel: len(layer.subscriptions.inboxes[channel].messages) >= 5)
            assert [message["n"] for message in drain(layer, channel)] == [0, 1, 2, 3, 4]
        for number in range(30):
            other.send_group(f"chat.{number}", {"n": number})
        for number, channel in enumerate(channels):
            assert layer.receive([channel], block=True) == (channel, {"n": number % 30})
        assert drain(layer, *channels) == []

    def test_each_process_gets_it(self, layer, other, prefix):
        name = f"{prefix}.work"
        assert [one.receive([name]) for one in (layer, other)] == [(None, None)] * 2
        layer.send(name, {"n": 1})
        assert [one.receive([name], block=True) for one in (layer, other)] == [(name, {"n": 1})] * 2

    def test_names_on_redis_are_those_of_channels_redis(self, layer, cluster, prefix):
        channel = layer.new_channel()
        layer.group_add("chat", channel)
        message = layer.serialize({"n": 1})
        for name in (channel, f"{prefix}__group__chat"):
            assert cluster.run(cluster.master_of(name), "SPUBLISH", name, message) == 1
            assert layer.receive([channel], block=True) == (channel, {"n": 1})

    def test_closed_channels_and_groups_that_were_left_are_listened_to_no_longer(self, layer, cluster, prefix):
        kept, closed = layer.new_channel(), layer.new_channel()
        layer.group_add("chat", kept)
        layer.group_add("left", kept)
        layer.close_channel(closed)
        layer.group_discard("left", kept)
        eventually(lambda: all_listening(cluster, prefix) == {kept, f"{prefix}__group__chat"})
        layer.send_group("left", {"n": 1})
        layer.send(kept, {"n": 2})
        assert layer.receive([kept], block=True) == (kept, {"n": 2})

    def test_a_channel_that_is_closed_and_opened_again_misses_nothing(self, layer, prefix):
        name = f"{prefix}.work"
        for number in range(50):
            layer.receive([name])
            layer.send(name, {"n": number})
            assert layer.receive([name], block=True) == (name, {"n": number})
            layer.close_channel(name)

    def test_a_node_without_channels_of_this_process_is_left(self, layer, cluster, prefix, monkeypatch):
        monkeypatch.setattr("asgi_redis.engine.pubsub.listener._CHECK_SECONDS", 0.05)
        channels = [layer.new_channel() for _ in range(20)]
        kept = channels[0]
        for channel in channels[1:]:
            layer.close_channel(channel)
        node = cluster.master_of(kept)
        eventually(lambda: [listeners(cluster, one) for one in cluster.masters() if one is not node] == [0, 0])
        assert listeners(cluster, node) == 1
        for _ in range(20):
            channel = layer.new_channel()
            layer.send(channel, {"n": 1})
            assert layer.receive([channel], block=True) == (channel, {"n": 1})

    def test_nothing_is_left_after_close_and_it_can_be_used_again(self, layer, cluster, prefix):
        for _ in range(2):
            channel = layer.new_channel()
            layer.send(channel, {"n": 1})
            assert layer.receive([channel], block=True) == (channel, {"n": 1})
            layer.close()
            eventually(lambda: not all_listening(cluster, prefix))
            eventually(lambda: not any(listeners(cluster, node) for node in cluster.masters()))

    def test_one_start_node_is_enough(self, pubsub_layer_for, cluster):
        layer = pubsub_layer_for(cluster.urls[2], cluster=True)
        channels = [layer.new_channel() for _ in range(10)]
        for channel in channels:
            layer.send(channel, {"channel": channel})
            assert layer.receive([channel], block=True) == (channel, {"channel": channel})


class TestServers:
    def test_tls(self, pubsub_layer_for, tls_cluster):
        kwargs = {"ssl_ca_certs": tls_cluster.ca_file}
        layer = pubsub_layer_for(*tls_cluster.urls, cluster=True, connection_kwargs=kwargs)
        channel = layer.new_channel()
        layer.send(channel, {"n": 1})
        assert layer.receive([channel], block=True) == (channel, {"n": 1})

    def test_a_user_with_a_password(self, pubsub_layer_for, acl_cluster):
        kwargs = {"username": ACL_USER, "password": ACL_PASSWORD}
        layer = pubsub_layer_for(*acl_cluster.hosts, cluster=True, connection_kwargs=kwargs)
        channel = layer.new_channel()
        layer.send(channel, {"n": 1})
        assert layer.receive([channel], block=True) == (channel, {"n": 1})

    def test_a_wrong_password_is_raised_at_once(self, pubsub_layer_for, acl_cluster):
        kwargs = {"username": ACL_USER, "password": "wrong"}
        layer = pubsub_layer_for(*acl_cluster.hosts, cluster=True, connection_kwargs=kwargs)
        started = time.monotonic()
        for call in (layer.new_channel, lambda: layer.send("work", {})):
            with pytest.raises(AuthenticationError):
                call()
        assert time.monotonic() - started < 4

    @pytest.mark.parametrize("protocol", [2, 3])
    def test_either_protocol(self, pubsub_layer_for, cluster, protocol):
        layer = pubsub_layer_for(*cluster.hosts, cluster=True, connection_kwargs={"protocol": protocol})
        channels = [layer.new_channel() for _ in range(10)]
        for channel in channels:
            layer.group_add("chat", channel)
        layer.send_group("chat", {"n": 1})
        for channel in channels:
            assert layer.receive([channel], block=True) == (channel, {"n": 1})

    def test_a_channel_that_a_user_may_not_use_costs_no_other_anything(
        self, pubsub_layer_for, fresh_single_node_cluster, prefix
    ):
        (node,) = fresh_single_node_cluster.nodes
        fresh_single_node_cluster.run(
            node, "ACL", "SETUSER", "bob", "on", ">pw", "+@all", "resetchannels", f"&{prefix}*"
        )
        layer = pubsub_layer_for(f"redis://bob:pw@{node.host}:{node.port}", cluster=True)
        channel = layer.new_channel()
        for _ in range(2):
            with pytest.raises(ResponseError):
                layer.receive(["forbidden", channel])
            with pytest.raises(ResponseError):
                layer.send("forbidden", {})
        layer.send(channel, {"n": 1})
        assert layer.receive([channel], block=True) == (channel, {"n": 1})
        assert list(layer.subscriptions.inboxes) == [channel]

    def test_a_user_who_may_do_what_the_documentation_says(self, pubsub_layer_for, fresh_single_node_cluster):
        (node,) = fresh_single_node_cluster.nodes
        commands = ["+cluster|slots", "+ping", "+info", "+spublish", "+ssubscribe", "+sunsubscribe", "&*"]
        fresh_single_node_cluster.run(node, "ACL", "SETUSER", "bob", "on", ">pw", "-@all", *commands)
        layer = pubsub_layer_for(f"redis://bob:pw@{node.host}:{node.port}", cluster=True)
        channel = layer.new_channel()
        layer.group_add("chat", channel)
        layer.send_group("chat", {"n": 1})
        assert layer.receive([channel], block=True) == (channel, {"n": 1})
        layer.group_discard("chat", channel)
        layer.send(channel, {"n": 2})
        assert layer.receive([channel], block=True) == (channel, {"n": 2})

    def test_nodes_whose_addresses_lead_nowhere(self, pubsub_layer_for, fresh_single_node_cluster):
        (node,) = fresh_single_node_cluster.nodes
        unreachable = "192.0.2.1"  # RFC 5737: for documentation
        fresh_single_node_cluster.run(node, "CONFIG", "SET", "cluster-announce-ip", unreachable)
        slots = lambda: fresh_single_node_cluster.run(node, "CLUSTER", "SLOTS")  # noqa: E731
        eventually(lambda: slots()[0][2][0] == unreachable.encode())
        layer = pubsub_layer_for(
            *fresh_single_node_cluster.urls, cluster=True, address_remap=lambda address: (node.host, address[1])
        )
        channel = layer.new_channel()
        layer.send(channel, {"n": 1})
        assert layer.receive([channel], block=True) == (channel, {"n": 1})


class TestBadInput:
    def test_a_server_that_is_no_cluster(self, pubsub_layer_for, redis_server):
        layer = pubsub_layer_for(redis_server, cluster=True)
        for call in (layer.new_channel, lambda: layer.send("work", {})):
            with pytest.raises(UnsupportedRedis, match=r"no node of a Redis Cluster.*without cluster=True"):
                call()

    @pytest.mark.parametrize(
        ("lacks", "call"),
        [("SPUBLISH", lambda layer: layer.send("work", {})), ("SSUBSCRIBE", lambda layer: layer.new_channel())],
    )
    def test_a_server_that_is_too_old_is_named_with_its_version(self, pubsub_layer_for, lacks, call):
        with run_single_node_cluster(options=[("rename-command", [lacks, ""])]) as cluster:
            layer = pubsub_layer_for(*cluster.urls, cluster=True)
            with pytest.raises(UnsupportedRedis, match=r"needs Redis 7.0 or newer, or Valkey") as raised:
                call(layer)
            said = str(raised.value)
            assert lacks.lower() in said.lower()
            with redis.Redis(port=cluster.nodes[0].port, protocol=2) as client:
                assert f"Redis {client.info('server')['redis_version']} at" in said

    @pytest.mark.parametrize(
        ("options", "said"),
        [
            ({"hosts": ["redis://localhost:6379/1"], "cluster": True}, "the database 0 only"),
            ({"hosts": ["unix:///tmp/redis.sock"], "cluster": True}, "by host and port only"),
            ({"cluster": "yes"}, "cluster must be True or False, not 'yes'"),
            ({"address_remap": lambda address: address}, "which needs cluster=True"),
            ({"address_remap": 1, "cluster": True}, "address_remap must be a function"),
        ],
    )
    def test_settings_that_cannot_work(self, options, said):
        with pytest.raises(ConfigurationError, match=said):
            RedisPubSubChannelLayer(**options)

    def test_without_the_option_each_node_of_a_cluster_has_all_messages(self, pubsub_layer_for, cluster):
        """The plain pub/sub of a cluster, as ever."""
        layers = [pubsub_layer_for(url) for url in cluster.urls]
        channels = [layer.new_channel() for layer in layers]
        for channel in channels:
            layers[0].send(channel, {"n": 1})
        for layer, channel in zip(layers, channels):
            assert layer.receive([channel], block=True) == (channel, {"n": 1})

    def test_the_text_of_the_layer_has_its_start_nodes_and_no_password(self):
        layer = RedisPubSubChannelLayer(hosts=["redis://:secret@one:6379"], cluster=True)
        assert "one:6379" in str(layer)
        assert "cluster=True" in str(layer)
        assert "secret" not in str(layer)
