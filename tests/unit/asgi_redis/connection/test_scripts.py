"""Scripts that a server has forgotten."""

from __future__ import annotations

import pytest
import redis

from asgi_redis.wire import Operation, scripts
from asgi_redis.wire.operation import command, script_head
from tests.support.shards import echo, server_at


class TestScripts:
    def flush(self, server):
        with redis.Redis(port=server.port, protocol=2) as client:
            client.script_flush()

    def operation(self, key):
        head = script_head(scripts.GROUP_ADD, (key,), (b"channel", b"60"))
        return Operation(head, bool, 1, scripts.GROUP_ADD)

    def test_a_script_that_redis_has_forgotten_is_loaded_and_run(self, fresh_redis_server):
        shard = server_at(fresh_redis_server)
        for _ in range(2):
            self.flush(fresh_redis_server)
            assert shard.execute(self.operation(b"group")) is True

    def test_among_several_commands_too(self, fresh_redis_server):
        shard = server_at(fresh_redis_server)
        operation = self.operation(b"group")
        both = Operation(operation.packed + command(b"ECHO", b"b"), list, 2, operation.script)
        assert shard.execute(both) == [1, b"b"]

    @pytest.mark.parametrize("loaded", [False, True])
    def test_an_error_of_a_script_is_the_same_whether_it_was_loaded_or_not(self, fresh_redis_server, loaded):
        shard = server_at(fresh_redis_server)
        with redis.Redis(port=fresh_redis_server.port, protocol=2) as client:
            client.set("key", "a string")
            if loaded:
                client.script_load(scripts.GROUP_ADD.text)
        with pytest.raises(redis.exceptions.ResponseError, match="WRONGTYPE"):
            shard.execute(self.operation(b"key"))
        assert shard.execute(echo(b"next")) == b"next"
