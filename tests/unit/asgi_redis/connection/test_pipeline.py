"""Many operations in one round trip, on a real Redis."""

from __future__ import annotations

import os
import socket
from types import SimpleNamespace

import pytest
import redis
from redis.exceptions import ConnectionError, ResponseError, TimeoutError

from asgi_redis.connection import RoundTrip, Server, Unsent, descriptor, parse_hosts, pipeline_execute, round_trip
from asgi_redis.exceptions import UnsupportedRedis
from asgi_redis.wire import scripts
from asgi_redis.wire.operation import Operation, command, script_head
from tests.support import servers
from tests.support.waiting import eventually


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


def add(prefix, name):
    head = script_head(scripts.GROUP_ADD, (f"{prefix}group".encode(),), (name, b"60"))
    return Operation(head, bool, 1, scripts.GROUP_ADD)


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


@pytest.mark.parametrize("size", [1, 4])
def test_replies_may_come_in_pieces(shard, prefix, monkeypatch, size):
    def read_some(connection, chunks):
        chunks.append(connection._sock.recv(size))

    monkeypatch.setattr(round_trip, "read_some", read_some)
    packed = command(b"INCR", f"{prefix}number".encode()) + command(b"ECHO", b"a\r\n")
    both = Operation(packed, list, 2)
    assert pipeline_execute(shard, [both, echo(b"b"), both]) == [[1, b"a\r\n"], b"b", [2, b"a\r\n"]]


def test_scripts_that_redis_does_not_know_are_loaded_and_run_once(shard, client, prefix):
    client.script_flush()
    results = pipeline_execute(
        shard, [echo(b"a"), add(prefix, b"one"), incr(prefix, "count"), add(prefix, b"two"), echo(b"b")]
    )
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


@pytest.mark.native("event loops in native threads")
class TestATripThatTheCallerPolls:
    @pytest.fixture
    def trip(self, shard):
        """``trip(*operations)`` is under way, on a connection that can be polled."""

        def begin(*operations):
            pipeline_execute(shard, [echo(b"warm")])
            connection = shard.checkout_for_loop()
            assert connection is not None
            trip = RoundTrip(shard, connection, operations)
            assert trip.write()
            return trip

        return begin

    def test_has_its_outcomes_when_all_is_received(self, shard, trip):
        under_way = trip(echo(b"a"), echo(b"b"))
        eventually(under_way.receive)
        assert under_way.is_served
        assert under_way.outcomes == [b"a", b"b"]
        shard.release(under_way.connection)
        assert pipeline_execute(shard, [echo(b"c")]) == [b"c"]

    def test_runs_scripts_that_were_forgotten(self, client, prefix, trip):
        client.script_flush()
        under_way = trip(echo(b"a"), add(prefix, b"one"), incr(prefix, "count"), add(prefix, b"two"))
        eventually(lambda: under_way.receive() or not under_way.write())
        assert under_way.is_served
        assert client.zcard(f"{prefix}group") == 2
        assert under_way.outcomes[2] == 1
        assert int(client.get(f"{prefix}count")) == 1

    def test_may_be_finished_by_a_thread_that_waits(self, shard, client, prefix, trip):
        block = Operation(command(b"BLPOP", prefix.encode(), b"0"), list)
        under_way = trip(echo(b"a"), block)
        assert eventually(lambda: under_way.receive() or under_way.outcomes[0]) == b"a"
        client.rpush(prefix, "late")
        assert under_way.finish() == [b"a", [prefix.encode(), b"late"]]
        assert pipeline_execute(shard, [echo(b"b")]) == [b"b"]
        assert len(shard._idle) == 1

    def test_that_loses_its_connection_keeps_the_outcomes_of_before(self, shard, client, prefix, trip):
        under_way = trip(echo(b"a"), Operation(command(b"BLPOP", prefix.encode(), b"0"), list), echo(b"b"))
        client.execute_command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
        eventually(under_way.receive)
        assert not under_way.is_served
        assert [type(outcome) for outcome in under_way.finish()] == [bytes, ConnectionError, ConnectionError]
        assert pipeline_execute(shard, [echo(b"c")]) == [b"c"]

    def test_that_could_not_be_sent_is_sent_on_another_connection(self, shard, client, prefix):
        pipeline_execute(shard, [echo(b"warm")])
        under_way = RoundTrip(shard, shard.checkout_for_loop(), [incr(prefix, "count")])
        with socket.socket(fileno=os.dup(descriptor(under_way.connection))) as duplicate:
            duplicate.shutdown(socket.SHUT_RDWR)
        with pytest.raises(Unsent):
            under_way.write()
        assert under_way.finish() == [1]
        assert int(client.get(f"{prefix}count")) == 1

    def test_notes_when_bytes_have_gone_out(self):
        """Where none go out any more the time for it ends."""
        left, right = socket.socketpair()
        with left, right:
            left.setblocking(False)
            under_way = RoundTrip(None, SimpleNamespace(_sock=left), [echo(b"x" * 2_000_000)])
            begun = under_way.active_at
            assert not under_way.write()
            first = under_way.active_at
            assert begun < first
            assert not under_way.write()
            assert under_way.active_at == first
            while not right.recv(1 << 20):
                pass
            under_way.write()
            assert first < under_way.active_at

    def test_that_is_partly_sent_is_never_called_unsent(self):
        left, right = socket.socketpair()
        with left:
            left.setblocking(False)
            under_way = RoundTrip(None, SimpleNamespace(_sock=left), [echo(b"x" * 2_000_000)])
            assert not under_way.write()
            right.close()
            with pytest.raises(ConnectionError) as raised:
                under_way.write()
            assert not isinstance(raised.value, Unsent)

    def test_takes_the_replies_to_one_operation_in_any_pieces(self):
        left, right = socket.socketpair()
        with left, right:
            left.setblocking(False)
            under_way = RoundTrip(None, SimpleNamespace(_sock=left), [Operation(b"", tuple, replies=3)])
            for piece in b":1\r\n:2", b"\r\n", b"":
                right.sendall(piece)
                assert not under_way.receive()
            right.sendall(b":3\r\n")
            assert under_way.receive()
            assert under_way.outcomes == [(1, 2, 3)]

    def test_needs_a_connection_that_is_idle_and_alive(self, shard, client, monkeypatch):
        monkeypatch.setattr("asgi_redis.connection.pool.FRESH_SECONDS", -1)

        def take():
            connection = shard.checkout_for_loop()
            if connection is not None:
                shard.release(connection)
            return connection

        assert take() is None
        pipeline_execute(shard, [echo(b"warm")])
        assert take() is not None
        client.execute_command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
        eventually(lambda: take() is None)
        assert not shard._idle

    def test_needs_no_server_that_has_to_be_asked_whether_it_is_there(self, redis_server):
        shard = Server(parse_hosts([{"address": redis_server.url, "health_check_interval": 1e-6}])[0])
        pipeline_execute(shard, [echo(b"warm")])
        assert shard.checkout_for_loop() is None
        assert len(shard._idle) == 1
        shard.drop_idle()

    @pytest.mark.parametrize(
        "setting",
        [{"address": "rediss://localhost"}, {"address": "redis://localhost", "max_connections": 5}],
    )
    def test_needs_a_connection_that_may_be_polled_and_held(self, setting):
        assert not parse_hosts([setting])[0].lends
