"""Waiting on several servers at once: however the wait ends, no message is lost and none comes twice."""

from __future__ import annotations

import logging
import threading
import time

import pytest
import redis

from asgi_redis.connection import Server, Shard, blocking_pop, exchange, parse_hosts, wait_for_first
from asgi_redis.process.wakeup import WakeupPipe
from tests.support.queues import blocked_clients, put, queued
from tests.support.shards import connections_are_sound
from tests.support.threads import in_threads
from tests.support.waiting import eventually


class TestPop:
    def test_a_message_that_is_there_is_taken_from_whichever_shard(self, wait, shards, operations):
        for number, shard in enumerate(shards):
            put(shard, operations, b"%d" % number)
            assert wait() == b"%d" % number

    def test_none_after_its_time(self, wait, shards):
        started = time.monotonic()
        assert wait(0.1) is None
        assert 0.1 <= time.monotonic() - started < 5
        assert connections_are_sound(shards)

    def test_a_wake_ends_it_at_once_and_leaves_no_pop_behind(self, wait, shards, three_redis_servers):
        wakeup = WakeupPipe()
        wakeup.wake()
        started = time.monotonic()
        assert wait(30, wakeup) is None
        assert time.monotonic() - started < 10
        assert [blocked_clients(server) for server in three_redis_servers] == [0] * 3
        assert connections_are_sound(shards)

    def test_of_two_messages_at_once_one_is_returned_and_one_put_back_in_its_place(
        self, wait, shards, operations, key
    ):
        put(shards[0], operations, b"a1")
        put(shards[1], operations, b"b1")
        put(shards[1], operations, b"b2")
        assert wait() == b"a1"
        assert queued(shards, operations, key) == [b"b1", b"b2"]

    def test_putting_back_needs_no_memory(self, operations, key, fresh_redis_server, redis_server, wait):
        shards = [Shard(Server(host)) for host in parse_hosts([redis_server.url, fresh_redis_server.url], None)]
        put(shards[0], operations, b"a")
        put(shards[1], operations, b"b")
        with redis.Redis(port=fresh_redis_server.port, protocol=2) as client:
            client.config_set("maxmemory", 1)
        assert wait(on=shards) == b"a"
        assert queued(shards[1:], operations, key) == [b"b"]

    def test_what_was_put_back_has_a_ttl(self, wait, shards, operations, key, three_redis_servers):
        for shard in shards[:2]:
            put(shard, operations, b"m")
        wait()
        with redis.Redis(port=three_redis_servers[1].port, protocol=2) as client:
            assert 50_000 < client.pttl(key) <= 60_000

    def test_a_shard_that_is_down_is_an_error_and_what_another_gave_is_put_back(
        self, wait, shards, operations, key, fresh_redis_server
    ):
        (down,) = [Shard(Server(host)) for host in parse_hosts([fresh_redis_server.url], None)]
        fresh_redis_server.kill()
        put(shards[0], operations, b"m")
        with pytest.raises(redis.exceptions.ConnectionError):
            wait(on=[shards[0], down])
        assert queued(shards, operations, key) == [b"m"]

    def test_a_message_is_not_lost_where_the_server_ends_in_a_pause(self, wait, key, operations, fresh_redis_server):
        """It has given the message then, and not the time that was asked for behind it."""
        (shard,) = [Shard(Server(host)) for host in parse_hosts([fresh_redis_server.url], None)]
        url = fresh_redis_server.url

        def pause_and_kill():
            eventually(lambda: blocked_clients(fresh_redis_server))
            with redis.Redis.from_url(url, protocol=2) as client:
                pipeline = client.pipeline(transaction=False)
                pipeline.zadd(key, {b"0" * 12 + b"m": time.time()})
                pipeline.client_pause(10_000)
                pipeline.execute()
            fresh_redis_server.kill()

        killer = threading.Thread(target=pause_and_kill)
        killer.start()
        assert wait(20, on=[shard]) == b"0" * 12 + b"m"
        killer.join()

    def test_a_shard_that_goes_down_in_the_middle_is_an_error_at_once(self, wait, shards, fresh_redis_server):
        (going,) = [Shard(Server(host)) for host in parse_hosts([fresh_redis_server.url], None)]
        killer = threading.Thread(
            target=lambda: (eventually(lambda: blocked_clients(fresh_redis_server)), fresh_redis_server.kill())
        )
        killer.start()
        started = time.monotonic()
        with pytest.raises(redis.exceptions.ConnectionError):
            wait(30, on=[*shards, going])
        killer.join()
        assert time.monotonic() - started < 5
        assert connections_are_sound(shards)

    def test_a_message_wins_over_the_loss_of_another_shard(self, wait, shards, operations, monkeypatch, caplog):
        put(shards[0], operations, b"m")
        read_some = exchange.read_some
        shards[1].server.release(lost := shards[1].server.checkout())

        def lose_one(connection, *arguments):
            if connection is lost:
                raise redis.exceptions.ConnectionError("lost")
            read_some(connection, *arguments)

        monkeypatch.setattr(exchange, "read_some", lose_one)
        with caplog.at_level(logging.WARNING, "asgi_redis"):
            assert wait() == b"m"
        assert caplog.messages == ["Lost a shard while another had a message: lost"]

    def test_the_pop_of_another_kind_of_key_is_an_error_that_costs_no_connection(
        self, wait, shards, three_redis_servers, key
    ):
        with redis.Redis(port=three_redis_servers[0].port, protocol=2) as client:
            client.set(key, "a string")
        with pytest.raises(redis.exceptions.ResponseError, match="WRONGTYPE"):
            wait()
        assert connections_are_sound(shards)
        assert [len(shard.server._idle) for shard in shards[:1]] == [1]


class TestPutOff:
    """``CLIENT PAUSE ... WRITE``, and so ``FAILOVER``, puts a pop off: the server does it later, ended or not."""

    @pytest.fixture
    def shard(self, fresh_redis_server):
        (shard,) = [Shard(Server(host)) for host in parse_hosts([fresh_redis_server.url], None)]
        shard.server.release(shard.server.checkout())
        return shard

    @pytest.fixture
    def client(self, fresh_redis_server):
        with redis.Redis(port=fresh_redis_server.port, protocol=2) as client:
            yield client

    def test_the_server_survives_and_a_message_that_the_pop_then_takes_is_put_back(
        self, pops_of, shard, client, operations, key
    ):
        put(shard, operations, b"m")
        client.client_pause(60_000, all=False)
        pops = pops_of([shard], 1)
        failures = wait_for_first(pops, WakeupPipe(), 0.1, True)
        assert [type(error) for error in failures.values()] == [redis.exceptions.TimeoutError]
        assert not pops[0].taken
        client.client_unpause()
        assert shard.server.background_replies.settle(time.monotonic() + 10)
        assert queued([shard], operations, key) == [b"m"]
        assert connections_are_sound([shard])

    def test_one_that_goes_on_in_time_is_waited_for(self, wait, shard, client, operations, key):
        put(shard, operations, b"m")
        client.client_pause(300, all=False)
        assert wait(0.1, on=[shard]) == b"m"
        assert connections_are_sound([shard])


class TestUnblocking:
    def test_a_pop_that_cannot_be_unblocked_ends_by_itself(self, wait, redis_server, operations, prefix, key):
        with redis.Redis(port=redis_server.port, protocol=2) as client:
            client.acl_setuser(
                prefix,
                enabled=True,
                passwords=["+secret"],
                keys=["*"],
                commands=["+@all", "-client", "+client|id"],
            )
            try:
                url = f"redis://{prefix}:secret@127.0.0.1:{redis_server.port}"
                (shard,) = [Shard(Server(host)) for host in parse_hosts([url], None)]
                started = time.monotonic()
                assert wait(0.1, on=[shard]) is None
                assert time.monotonic() - started < 3
                assert connections_are_sound([shard])
                put(shard, operations, b"m")
                assert queued([shard], operations, key) == [b"m"]
            finally:
                client.acl_deluser(prefix)

    def test_a_pop_that_does_not_end_is_left_to_a_thread_that_puts_its_message_back(
        self, wait, shards, operations, key, monkeypatch
    ):
        monkeypatch.setattr(blocking_pop, "_END_TIMEOUT_SECONDS", 0.05)
        execute = Server.execute
        with monkeypatch.context() as patch:
            patch.setattr(Server, "execute", lambda *args, **kwargs: None)  # no unblocking gets through
            with pytest.raises(redis.exceptions.TimeoutError, match=r"a blocking pop at .* does not end"):
                wait(0.01, on=shards[:1])
            assert not shards[0].server._idle
        assert Server.execute is execute
        put(shards[0], operations, b"m")
        eventually(lambda: len(shards[0].server._idle) == 2)
        assert queued(shards[:1], operations, key) == [b"m"]

    def test_senders_and_readers_that_give_up_all_the_time_lose_and_double_nothing(
        self, wait, shards, operations, key
    ):
        sent = [b"%04d" % number for number in range(300)]
        received = []
        done = threading.Event()

        def read(_):
            while not done.is_set():
                member = wait(0.002)
                if member:
                    received.append(member)

        readers = threading.Thread(target=lambda: in_threads(read, range(4)))
        readers.start()
        try:
            for number, member in enumerate(sent):
                put(shards[number % 3], operations, member)
        finally:
            done.set()
            readers.join()
        received += queued(shards, operations, key)
        assert sorted(received) == sent


def test_a_message_that_had_waited_shows_that_there_may_be_a_backlog(layer_for, redis_server, prefix):
    layer = layer_for(redis_server)
    with redis.Redis(port=redis_server.port, protocol=2) as client:
        for number in range(3):
            client.zadd(f"{prefix}work", {layer.serialize({"n": number}): time.time() - 5 + number})
    server = layer._shards[0].server
    assert not server.has_backlog
    for number in range(3):
        assert layer.receive(["work"], block=True) == ("work", {"n": number})
        assert server.has_backlog
    assert layer.receive_batch(["work"], 1, timeout=0.1) == []
    assert not server.has_backlog
