"""Servers that cannot serve: without a command, a replica, still loading."""

from __future__ import annotations

import contextlib

import pytest
import redis

from asgi_redis.embedded import RedisServer, RedisServerError
from asgi_redis.exceptions import UnsupportedRedis
from tests.support.waiting import eventually


class TestAServerThatCannotServe:
    def run(self, *directives):
        return RedisServer([("rename-command", [name, ""]) for name in directives])

    @pytest.mark.parametrize("protocol", [2, 3])
    @pytest.mark.parametrize(
        ("lacks", "call"),
        [
            ("ZPOPMIN", lambda layer: layer.receive(["work"])),
            ("EVALSHA", lambda layer: layer.send("work", {})),
        ],
    )
    def test_one_that_lacks_a_command_is_named_with_its_version_and_the_command(
        self, layer_for, lacks, call, protocol
    ):
        with self.run(lacks) as server:
            layer = layer_for(server, connection_kwargs={"protocol": protocol})
            for _ in range(2):
                with pytest.raises(UnsupportedRedis) as raised:
                    call(layer)
                said = str(raised.value)
                assert "Redis " in said
                if lacks != "ZPOPMIN":  # scripts do not say which command it was before Redis 7
                    assert lacks.lower() in said.lower()
                with redis.Redis(port=server.port, protocol=2) as client:
                    assert client.info("server")["redis_version"] in said
            assert len(layer._shards[0].server._idle) <= 2

    def test_a_replica_refuses_and_its_connections_are_given_up(self, layer_for, sentinel):
        layer = layer_for(sentinel.replica)
        for call in (
            lambda: layer.send("work", {}),
            lambda: layer.receive(["work"]),
            lambda: layer.receive(["work"], block=True),
            lambda: layer.group_add("chat", "work"),
        ):
            with pytest.raises(redis.exceptions.ReadOnlyError):
                call()
            assert not layer._shards[0].server._idle, "the next connection may be to the master"

    def test_a_replica_that_has_lost_its_master_likewise(self, layer_for):
        with RedisServer({"replicaof": ["127.0.0.1", 1], "replica-serve-stale-data": "no"}) as replica:
            layer = layer_for(replica)
            for call in (lambda: layer.send("work", {}), lambda: layer.receive(["work"], block=True)):
                with pytest.raises((redis.exceptions.MasterDownError, redis.exceptions.ReadOnlyError)):
                    call()
                assert not layer._shards[0].server._idle

    def test_one_that_is_loading_is_a_connection_error(self, layer_for):
        server = RedisServer({"key-load-delay": 500, "loading-process-events-interval-bytes": 1024})
        with contextlib.closing(server):
            try:
                server.start()
            except RedisServerError as error:
                if "Bad directive" not in str(error):
                    raise
                pytest.skip("before Redis 7 a server cannot be made to load slowly")
            with redis.Redis(port=server.port, protocol=2) as client:
                client.eval("for i = 1, 4000 do redis.call('SET', i, i) end", 0)
                client.save()
            server.kill()
            server._answers = lambda: True  # not to be waited for until it has loaded
            server.start()
            layer = layer_for(server)

            def refusal():
                with pytest.raises(redis.exceptions.ConnectionError) as raised:
                    layer.send("work", {})
                return "loading" in str(raised.value).lower()

            eventually(refusal)  # before that, it does not listen yet
            assert not layer._shards[0].server._idle
