"""Servers that cannot be used say so at once, in words that tell what to do."""

from __future__ import annotations

import logging
import re
import time

import pytest
import redis

from asgi_redis import RedisPubSubChannelLayer
from asgi_redis.connection.examination import _warned
from asgi_redis.embedded import RedisServer
from asgi_redis.exceptions import UnsupportedRedis
from tests.support.waiting import eventually

CALLS = {
    "send": lambda layer: layer.send("a", {"n": 1}),
    "receive": lambda layer: layer.receive([f"a{n}" for n in range(12)]),
    "wait": lambda layer: layer.receive(["a", "b"], block=True),
    "group_add": lambda layer: layer.group_add("g", "a"),
    "send_group": lambda layer: layer.send_group("g", {"n": 1}),
    "delayed.send": lambda layer: layer.delayed.send("a", {"n": 1}, 0),
    "delayed.deliver": lambda layer: layer.delayed.deliver(),
    "statistics": lambda layer: layer.channel_statistics("a"),
    "flush": lambda layer: layer.flush(),
}


@pytest.fixture(scope="module")
def password_server():
    with RedisServer({"requirepass": "secret"}) as server:
        yield server


@pytest.fixture(scope="module", params=["plain", "without INFO"])
def cluster_server(request):
    options = [("cluster-enabled", "yes")]
    if request.param == "without INFO":
        options.append(("rename-command", ["INFO", ""]))
    with RedisServer(options) as server:
        with redis.Redis(port=server.port, protocol=2) as client:
            client.execute_command("CLUSTER", "ADDSLOTS", *range(16384))
            eventually(lambda: re.search(r"cluster_state\W+ok", str(client.execute_command("CLUSTER", "INFO"))))
        yield server


class TestWithoutAPassword:
    def test_every_call_says_that_one_is_wanted(self, layer_for, password_server):
        layer = layer_for(password_server)
        for call in CALLS.values():
            with pytest.raises(
                redis.exceptions.AuthenticationError, match="wants a password, redis://:password@host"
            ):
                call(layer)

    def test_pub_sub_too(self, password_server):
        with RedisPubSubChannelLayer(hosts=[password_server.url]) as layer:
            for call in (CALLS["send"], CALLS["receive"]):
                with pytest.raises(redis.exceptions.AuthenticationError, match="wants a password"):
                    call(layer)

    def test_a_wrong_one_is_called_wrong(self, layer_for, password_server):
        layer = layer_for(password_server.url.replace("redis://", "redis://:other@"))
        with pytest.raises(redis.exceptions.AuthenticationError, match="does not take the user name or password"):
            layer.send("a", {})

    def test_redis_7_s_refusal_of_a_long_request_is_that_too(self, password_server):
        from asgi_redis.connection.errors import explain

        refusal = redis.exceptions.ResponseError("Protocol error: unauthenticated multibulk length")
        error = explain("x", "7", refusal, in_cluster=False)
        assert "wants a password" in str(error)


class TestTLS:
    """Neither waits longer than for a connection, and both say what it may be about."""

    OPTIONS = {"socket_connect_timeout": 0.5, "socket_timeout": 20}

    def test_where_the_server_speaks_none(self, layer_for, redis_server):
        layer = layer_for(redis_server.url.replace("redis://", "rediss://"), connection_kwargs=self.OPTIONS)
        started = time.monotonic()
        with pytest.raises(redis.exceptions.ConnectionError, match=r"no TLS handshake.*write redis://"):
            layer.send("a", {})
        assert time.monotonic() - started < 5

    def test_where_the_server_wants_it(self, layer_for, tls_server):
        layer = layer_for(tls_server.url.replace("rediss://", "redis://"), connection_kwargs=self.OPTIONS)
        with pytest.raises(redis.exceptions.ConnectionError, match="write rediss://"):
            layer.send("a", {})

    def test_a_reply_may_take_longer_than_the_handshake(self, layer_for, tls_server):
        options = {**self.OPTIONS, "ssl_ca_certs": tls_server.ca_file}
        layer = layer_for(tls_server.url, connection_kwargs=options)
        layer.send("a", {"n": 1})
        assert layer._shards[0].server.checkout()._sock.gettimeout() == 20


class TestClusterMode:
    def test_every_call_says_so_at_once(self, layer_for, cluster_server):
        layer = layer_for(cluster_server)
        # Without INFO it shows in what has several keys.
        calls = ["send", "receive", "wait", "statistics"] if "rename-command" in cluster_server._named else CALLS
        for call in calls:
            with pytest.raises(UnsupportedRedis, match=r"is a node of a Redis Cluster.*RedisClusterChannelLayer"):
                CALLS[call](layer)

    def test_a_delayed_message_is_not_postponed_for_ever(self, layer_for, cluster_server):
        """Where it was taken, as nobody could know."""
        layer = layer_for(cluster_server)

        def send_and_deliver():
            layer.delayed.send("a", {"n": 1}, 0)
            layer.delayed.deliver()

        with pytest.raises(UnsupportedRedis, match=r"is a node of a Redis Cluster.*RedisClusterChannelLayer"):
            send_and_deliver()

    def test_pub_sub_works(self, cluster_server):
        with RedisPubSubChannelLayer(hosts=[cluster_server.url]) as layer:
            layer.receive(["a"])
            layer.send("a", {"n": 1})
            assert layer.receive(["a"], block=True) == ("a", {"n": 1})


class TestAKeyOfAnotherType:
    @pytest.mark.parametrize("call", ["send", "receive", "wait", "statistics"])
    def test_it_is_named_with_its_type_and_what_it_may_be(self, layer_for, redis_server, prefix, call):
        layer = layer_for(redis_server)
        with redis.Redis(port=redis_server.port, protocol=2) as client:
            client.lpush(f"{prefix}a", "old")
        receive = {"receive": lambda layer: layer.receive(["b", "a"])}
        with pytest.raises(redis.exceptions.ResponseError, match="WRONGTYPE") as raised:
            {**CALLS, **receive}[call](layer)
        assert f"key '{prefix}a' at {layer._shards[0].server.host} is a list, not a sorted set" in str(raised.value)
        assert "asgi_redis 1.4.3" in str(raised.value)
        assert all(not connection.can_read(0) for connection, _ in layer._shards[0].server._idle)

    def test_also_one_of_many_in_a_group_send(self, layer_for, three_redis_servers, prefix):
        layer = layer_for(*three_redis_servers)
        for channel in ("a", "b!x"):
            layer.group_add("g", channel)
        for server in three_redis_servers:
            with redis.Redis(port=server.port, protocol=2) as client:
                client.lpush(f"{prefix}a", "old")
        with pytest.raises(redis.exceptions.ResponseError, match="WRONGTYPE") as raised:
            layer.send_group("g", {"n": 1})
        assert f"key '{prefix}a' at {layer._shards[0].server.host} is a list, not a sorted set" in str(raised.value)
        assert layer.receive(["b!"]) == ("b!x", {"n": 1})

    def test_a_group_too(self, layer_for, redis_server, prefix):
        layer = layer_for(redis_server)
        with redis.Redis(port=redis_server.port, protocol=2) as client:
            client.set(f"{prefix}:group:g", "x")
        with pytest.raises(redis.exceptions.ResponseError, match=f"key '{prefix}:group:g' at .* is a string"):
            layer.group_channels("g")


def test_a_server_without_INFO_that_lacks_a_command_is_one_error(layer_for):
    with RedisServer([("rename-command", [name, ""]) for name in ("EVALSHA", "INFO")]) as server:
        layer = layer_for(server)
        with redis.Redis(port=server.port, protocol=2) as client:
            before = client.client_id()
        with pytest.raises(UnsupportedRedis, match="EVALSHA"):
            layer.send("a", {})
        with redis.Redis(port=server.port, protocol=2) as client:
            assert client.client_id() - before < 4, "one error, not a row of attempts"


class TestEviction:
    @pytest.fixture
    def server(self):
        with RedisServer({"maxmemory-policy": "allkeys-lru"}) as server:
            yield server
        _warned.clear()

    def warnings(self, caplog):
        return [line for line in caplog.messages if "maxmemory-policy" in line]

    def test_a_policy_that_deletes_queues_is_told_once(self, layer_for, server, caplog):
        with caplog.at_level(logging.WARNING, "asgi_redis"):
            for _ in range(2):
                layer = layer_for(server)
                layer.send("a", {})
                layer._shards[0].server.drop_idle()
                layer.send("a", {})
        (line,) = self.warnings(caplog)
        assert "allkeys-lru" in line
        assert server.url in line

    def test_none_is_not(self, layer_for, redis_server, caplog):
        with caplog.at_level(logging.WARNING, "asgi_redis"):
            layer_for(redis_server).send("a", {})
        assert self.warnings(caplog) == []

    def test_pub_sub_keeps_nothing_to_be_deleted(self, server, caplog):
        with caplog.at_level(logging.WARNING, "asgi_redis"), RedisPubSubChannelLayer(hosts=[server.url]) as layer:
            layer.send("a", {})
        assert self.warnings(caplog) == []
