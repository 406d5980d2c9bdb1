"""Requests to several servers at once."""

from __future__ import annotations

import time

import pytest
import redis

from asgi_redis.connection import execute_on_shards, is_unsent, run_plan
from asgi_redis.wire import Operation
from asgi_redis.wire.operation import command
from tests.support.shards import connections_are_sound, echo, incr, shard_at


class TestExecuteAll:
    def test_results_come_in_the_order_of_the_requests(self, three_redis_servers):
        shards = [shard_at(server) for server in three_redis_servers]
        requests = [(shard, echo(b"%d" % number)) for number, shard in enumerate([*shards, *shards])]
        assert execute_on_shards(requests) == [b"%d" % number for number in range(6)]

    def test_nothing_asked_nothing_done(self):
        assert execute_on_shards([]) == []

    def test_requests_to_one_server_need_no_more_connections_than_it_may_have(self, redis_server, prefix):
        """Calls that hold some and wait for others would wait for each other."""
        shard, other = shard_at(redis_server, max_connections=1, socket_connect_timeout=5), shard_at(redis_server)
        requests = [(shard, incr(prefix.encode())), (other, echo(b"x")), *[(shard, incr(prefix.encode()))] * 2]
        assert execute_on_shards(requests) == [1, b"x", 2, 3]
        assert connections_are_sound([shard, other])

    def test_it_takes_as_long_as_the_slowest(self, three_redis_servers):
        shards = [shard_at(server) for server in three_redis_servers]
        wait = Operation(command(b"BLPOP", b"unheard of", b"1"), bool)
        started = time.monotonic()
        execute_on_shards([(shard, wait) for shard in shards])
        assert time.monotonic() - started < 2.5

    def test_a_shard_that_is_down_keeps_no_other_from_being_served(self, redis_server, fresh_redis_server, prefix):
        up, down = shard_at(redis_server), shard_at(fresh_redis_server)
        key = prefix.encode()
        fresh_redis_server.kill()
        with pytest.raises(redis.exceptions.ConnectionError):
            execute_on_shards([(down, incr(key)), (up, incr(key))])
        assert up.execute(Operation(command(b"GET", key), int)) == 1

    def test_an_error_that_is_a_reply_is_raised_when_all_have_answered(self, three_redis_servers, prefix):
        shards = [shard_at(server) for server in three_redis_servers]
        key = prefix.encode()
        wrong = Operation(command(b"INCR", b"a", b"b"), int)
        with pytest.raises(redis.exceptions.ResponseError):
            execute_on_shards([(shards[0], wrong), (shards[1], incr(key)), (shards[2], incr(key))])
        assert [shard.execute(incr(key)) for shard in shards] == [1, 2, 2]

    def test_an_interruption_leaves_no_connection_with_a_reply_in_it(self, three_redis_servers, monkeypatch):
        shards = [shard_at(server) for server in three_redis_servers]
        monkeypatch.setattr(shards[0].server, "read", lambda *args: (_ for _ in ()).throw(KeyboardInterrupt()))
        with pytest.raises(KeyboardInterrupt):
            execute_on_shards([(shard, echo(b"first")) for shard in shards])
        assert [shard.execute(echo(b"second")) for shard in shards[1:]] == [b"second"] * 2


def test_a_call_that_may_have_been_carried_out_in_part_is_not_unsent(redis_server, fresh_redis_server, prefix):
    """It must not be made again, although the request that failed has not left this process."""
    up, down = shard_at(redis_server), shard_at(fresh_redis_server)
    key = prefix.encode()
    fresh_redis_server.kill()

    def plan(*rounds):
        for requests in rounds:
            _ = yield requests

    def error_of(*rounds):
        with pytest.raises(redis.exceptions.ConnectionError) as caught:
            run_plan(plan(*rounds))
        return caught.value

    assert is_unsent(error_of([(down, incr(key))]))
    assert not is_unsent(error_of([(up, incr(key))], [(down, incr(key))]))
    assert not is_unsent(error_of([(down, incr(key)), (up, incr(key))]))
