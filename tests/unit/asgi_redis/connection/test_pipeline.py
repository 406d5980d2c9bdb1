"""Many operations in one round trip, on a real Redis."""

from __future__ import annotations

import pytest
import redis
from redis.exceptions import ConnectionError, ResponseError, TimeoutError

from asgi_redis.connection import Server, begin, parse_hosts, pipeline_execute
from asgi_redis.exceptions import UnsupportedRedis
from asgi_redis.wire import scripts
from asgi_redis.wire.operation import Operation, command, script_head
from tests.support import servers


@pytest.fixture
def shard(redis_server):
    shard = Server(parse_hosts([redis_server.url])[0])
    yield shard
    shard.drop_idle()


@pytest.fixture
def client(redis_server):
    with redis.Redis.from_url(redis_server.url) as client:
        yield client


def echo(text):
    return Operation(command(b"ECHO", text), bytes)


def incr(prefix, name):
    return Operation(command(b"INCR", f"{prefix}{name}".encode()), int)


def test_each_gets_its_own_result(shard):
    assert pipeline_execute(shard, [echo(b"%d" % number) for number in range(100)]) == [
        b"%d" % number for number in range(100)
    ]
    assert len(shard._idle) == 1


def test_an_error_is_for_the_one_that_it_is_about(shard, client, prefix):
    client.set(f"{prefix}text", "text")
    first, wrong, last = pipeline_execute(shard, [echo(b"first"), incr(prefix, "text"), echo(b"last")])
    assert (first, last) == (b"first", b"last")
    assert isinstance(wrong, ResponseError)
    assert pipeline_execute(shard, [echo(b"again")]) == [b"again"]
    assert len(shard._idle) == 1


def test_several_replies_are_one_result(shard):
    two = Operation(command(b"ECHO", b"a") + command(b"ECHO", b"b"), list, 2)
    assert pipeline_execute(shard, [two, echo(b"c"), two]) == [[b"a", b"b"], b"c", [b"a", b"b"]]


def test_scripts_that_redis_does_not_know_are_loaded_and_run_once(shard, client, prefix):
    client.script_flush()

    def add(name):
        arguments = (name, b"60")
        head = script_head(scripts.GROUP_ADD, (f"{prefix}group".encode(),), arguments)
        return Operation(head, bool, 1, scripts.GROUP_ADD)

    results = pipeline_execute(shard, [echo(b"a"), add(b"one"), incr(prefix, "count"), add(b"two"), echo(b"b")])
    assert results[0] == b"a"
    assert results[4] == b"b"
    assert results[2] == 1
    assert client.zcard(f"{prefix}group") == 2
    assert int(client.get(f"{prefix}count")) == 1


def test_who_may_not_tell_a_script_is_told_and_the_connection_stays_in_step(acl_server, prefix):
    with redis.Redis.from_url(acl_server.url, username=servers.ACL_USER, password=servers.ACL_PASSWORD) as admin:
        admin.script_flush()
        admin.acl_setuser("lame", enabled=True, passwords=["+lame"], keys=["*"], commands=["+@all", "-eval"])
    shard = Server(parse_hosts([{"address": acl_server.url, "username": "lame", "password": "lame"}])[0])
    head = script_head(scripts.GROUP_ADD, (f"{prefix}group".encode(),), (b"one", b"60"))
    add = Operation(head, bool, 1, scripts.GROUP_ADD)
    refused, answered = pipeline_execute(shard, [add, echo(b"a")])
    assert isinstance(refused, ResponseError)
    assert "permissions" in str(refused)
    assert answered == b"a"
    assert pipeline_execute(shard, [echo(b"b")]) == [b"b"]
    shard.drop_idle()


def test_a_command_that_redis_lacks_is_named(shard):
    unknown, answered = pipeline_execute(shard, [Operation(command(b"NOSUCH"), bytes), echo(b"a")])
    assert isinstance(unknown, UnsupportedRedis)
    assert answered == b"a"


def test_all_get_the_error_of_a_server_that_cannot_be_reached(fresh_redis_server):
    shard = Server(parse_hosts([fresh_redis_server.url])[0])
    fresh_redis_server.kill()
    outcomes = pipeline_execute(shard, [echo(b"a"), echo(b"b")])
    assert [type(outcome) for outcome in outcomes] == [ConnectionError] * 2


def test_what_was_answered_before_the_connection_was_lost_counts(fresh_redis_server, prefix):
    shard = Server(parse_hosts([{"address": fresh_redis_server.url, "socket_timeout": 0.3}])[0])
    block = Operation(command(b"BLPOP", prefix.encode(), b"0"), bytes)
    first, blocked, last = pipeline_execute(shard, [echo(b"a"), block, incr(prefix, "count")])
    assert first == b"a"
    # The latter on Python 3.9, where a socket's timeout is an OSError like any other.
    assert isinstance(blocked, (TimeoutError, ConnectionError))
    assert isinstance(last, (TimeoutError, ConnectionError))
    assert not shard._idle  # that connection has replies to come which nobody waits for


class TestWhatWasBegun:
    def test_comes_first_on_its_connection(self, shard):
        pipeline_execute(shard, [echo(b"warm")])
        connection = begin(shard, echo(b"begun"))
        assert connection is not None
        assert pipeline_execute(shard, [echo(b"begun"), echo(b"a"), echo(b"b")], connection) == [b"begun", b"a", b"b"]
        assert pipeline_execute(shard, [echo(b"c")]) == [b"c"]
        assert len(shard._idle) == 1

    def test_is_not_sent_again(self, shard, client, prefix):
        pipeline_execute(shard, [echo(b"warm")])
        assert pipeline_execute(shard, [incr(prefix, "count")], begin(shard, incr(prefix, "count"))) == [1]
        assert int(client.get(f"{prefix}count")) == 1

    def test_is_run_when_its_script_was_forgotten(self, shard, client, prefix):
        pipeline_execute(shard, [echo(b"warm")])
        client.script_flush()
        head = script_head(scripts.GROUP_ADD, (f"{prefix}group".encode(),), (b"one", b"60"))
        add = Operation(head, bool, 1, scripts.GROUP_ADD)
        pipeline_execute(shard, [add, echo(b"a")], begin(shard, add))
        assert client.zcard(f"{prefix}group") == 1

    def test_fails_with_what_comes_after_it_when_the_connection_is_lost(self, shard, client, prefix):
        pipeline_execute(shard, [echo(b"warm")])
        block = Operation(command(b"BLPOP", prefix.encode(), b"0"), bytes)
        connection = begin(shard, block)
        client.execute_command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
        outcomes = pipeline_execute(shard, [block, echo(b"a")], connection)
        assert [type(outcome) for outcome in outcomes] == [ConnectionError] * 2
        assert pipeline_execute(shard, [echo(b"b")]) == [b"b"]

    def test_needs_a_connection_that_has_just_been_used(self, shard, monkeypatch):
        """Everything else may have to wait: for a connection, for a dead one to be found out, for a Sentinel."""
        assert begin(shard, echo(b"first")) is None
        pipeline_execute(shard, [echo(b"warm")])
        assert begin(shard, echo(b"x" * 100_000)) is None
        monkeypatch.setattr("asgi_redis.connection.pool._FRESH_SECONDS", -1)
        assert begin(shard, echo(b"late")) is None
        assert len(shard._idle) == 1
