"""Waiting on several servers at once: however the wait ends, no message is lost and none comes twice."""

from __future__ import annotations

import logging
import os
import select
import signal
import threading
import time

import pytest
import redis

from asgi_redis.connection import Shard, Waiter, blocking, parse_hosts, pop
from asgi_redis.wire import Keys, Operations
from tests.threads import in_threads
from tests.waiting import eventually


class Interruption(BaseException):
    """Like gevent.Timeout: no Exception."""


@pytest.fixture
def operations(prefix):
    return Operations(Keys(prefix, f"{prefix}-stats:"), 60, 60)


@pytest.fixture
def shards(three_redis_servers):
    shards = [Shard(host) for host in parse_hosts([server.url for server in three_redis_servers], None)]
    yield shards
    for shard in shards:
        shard.drop_idle()


@pytest.fixture
def key(prefix):
    return f"{prefix}work".encode()


@pytest.fixture
def wait(shards, operations, key):
    """Waits on all shards, or those given; returns the member or None."""

    def wait(timeout=5.0, waiter=None, on=None):
        requests = [(shard, operations.pop([key], timeout)) for shard in on or shards]
        taken = pop(requests, timeout, waiter or Waiter(), operations.give_back)
        return taken and taken.member

    return wait


def put(shard, operations, member):
    assert shard.execute(operations.send(operations.send_head(b"work", 100, True), member))


def queued(shards, operations, key):
    return [taken.member for shard in shards for taken in shard.execute(operations.receive([key], 100))]


def blocked_clients(server):
    with redis.Redis(port=server.port, protocol=2) as client:
        return client.info("clients")["blocked_clients"]


def connections_are_sound(shards):
    """No connection that was given back has anything left to be read."""
    return all(not connection.can_read(0) for shard in shards for connection, _ in shard._idle)


class TestWaiter:
    def readable(self, waiter):
        poll = select.poll()
        poll.register(waiter, select.POLLIN)
        return bool(poll.poll(0))

    def test_it_can_be_read_once_woken_and_not_once_cleared(self):
        waiter = Waiter()
        assert not self.readable(waiter)
        waiter.wake()
        waiter.wake()
        assert self.readable(waiter)
        waiter.clear()
        assert not self.readable(waiter)
        waiter.clear()
        waiter.wake()
        assert self.readable(waiter)

    def test_however_often_it_is_woken_it_never_blocks(self):
        waiter = Waiter()
        for _ in range(100_000):
            waiter.wake()
        assert self.readable(waiter)

    def test_wakes_from_many_threads_are_never_left_behind_for_ever(self):
        waiter = Waiter()
        for _ in range(50):
            in_threads(lambda _: waiter.wake(), range(4))
            waiter.clear()
            assert not self.readable(waiter)

    @pytest.mark.native("gevent keeps what it has waited on for a while")
    def test_its_pipe_goes_with_it(self):
        waiter = Waiter()
        descriptor = waiter.fileno()
        os.fstat(descriptor)
        del waiter
        with pytest.raises(OSError, match="Bad file descriptor"):
            os.fstat(descriptor)


class TestPop:
    def test_a_message_that_is_there_is_taken_from_whichever_shard(self, wait, shards, operations):
        for number, shard in enumerate(shards):
            put(shard, operations, b"%d" % number)
            assert wait() == b"%d" % number

    def test_none_after_its_time(self, wait, shards):
        started = time.monotonic()
        assert wait(0.1) is None
        assert 0.1 <= time.monotonic() - started < 1
        assert connections_are_sound(shards)

    def test_a_wake_ends_it_at_once_and_leaves_no_pop_behind(self, wait, shards, three_redis_servers):
        waiter = Waiter()
        waiter.wake()
        started = time.monotonic()
        assert wait(30, waiter) is None
        assert time.monotonic() - started < 1
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
        shards = [Shard(host) for host in parse_hosts([redis_server.url, fresh_redis_server.url], None)]
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
            assert 0 < client.pttl(key) <= 60_000

    def test_a_shard_that_is_down_is_an_error_and_what_another_gave_is_put_back(
        self, wait, shards, operations, key, fresh_redis_server
    ):
        (down,) = [Shard(host) for host in parse_hosts([fresh_redis_server.url], None)]
        fresh_redis_server.kill()
        put(shards[0], operations, b"m")
        with pytest.raises(redis.exceptions.ConnectionError):
            wait(on=[shards[0], down])
        assert queued(shards, operations, key) == [b"m"]

    def test_a_shard_that_goes_down_in_the_middle_is_an_error_at_once(self, wait, shards, fresh_redis_server):
        (going,) = [Shard(host) for host in parse_hosts([fresh_redis_server.url], None)]
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
        read = Shard.read

        def lose_one(shard, connection, operation):
            if shard is shards[1] and not operation.packed:  # the reply to a pop
                raise redis.exceptions.ConnectionError("lost")
            return read(shard, connection, operation)

        monkeypatch.setattr(Shard, "read", lose_one)
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
        assert [len(shard._idle) for shard in shards[:1]] == [1]


class TestPutOff:
    """``CLIENT PAUSE ... WRITE``, and so ``FAILOVER``, puts a pop off: the server does it later, ended or not."""

    @pytest.fixture
    def shard(self, fresh_redis_server):
        (shard,) = [Shard(host) for host in parse_hosts([fresh_redis_server.url], None)]
        shard.give_back(shard.checkout())
        return shard

    @pytest.fixture
    def client(self, fresh_redis_server):
        with redis.Redis(port=fresh_redis_server.port, protocol=2) as client:
            yield client

    def test_the_server_survives_and_a_message_that_the_pop_then_takes_is_put_back(
        self, wait, shard, client, operations, key
    ):
        put(shard, operations, b"m")
        client.client_pause(60_000, all=False)
        reported = []
        requests = [(shard, operations.pop([key], 1))]
        assert pop(requests, 0.1, Waiter(), operations.give_back, lambda *outage: reported.append(outage)) is None
        assert [type(error) for _, error in reported] == [redis.exceptions.TimeoutError]
        client.client_unpause()
        assert shard.settle(time.monotonic() + 10)
        assert queued([shard], operations, key) == [b"m"]
        assert connections_are_sound([shard])

    def test_one_that_goes_on_in_time_is_waited_for(self, wait, shard, client, operations, key):
        put(shard, operations, b"m")
        client.client_pause(300, all=False)
        assert wait(0.1, on=[shard]) == b"m"
        assert connections_are_sound([shard])


class TestInterruptions:
    """Whatever is raised in the middle of a wait comes out; the pops do not stay behind, nor does a message."""

    def interrupt(self, monkeypatch, nth):
        """Makes the n-th look at the sockets raise, as a signal handler or gevent would."""
        poll, looks = blocking._poll, []

        def interrupted(*args):
            looks.append(args)
            if len(looks) == nth:
                raise Interruption
            return poll(*args)

        monkeypatch.setattr(blocking, "_poll", interrupted)

    @pytest.mark.parametrize("nth", [1, 2, 3, 4, 5, 6])
    @pytest.mark.parametrize("messages", [0, 1, 3])
    def test_at_any_look_nothing_is_lost(
        self, wait, shards, operations, key, three_redis_servers, monkeypatch, nth, messages
    ):
        sent = [b"%d" % number for number in range(messages)]
        for shard, member in zip(shards, sent):
            put(shard, operations, member)
        received = []
        with monkeypatch.context() as patch:
            self.interrupt(patch, nth)
            try:
                received = [wait(0.01)]
            except Interruption:
                pass
            else:
                assert len(received) == 1
        assert [blocked_clients(server) for server in three_redis_servers] == [0] * 3
        assert connections_are_sound(shards)
        assert sorted(queued(shards, operations, key) + [one for one in received if one]) == sent

    def interrupt_putting_back(self, monkeypatch, method):
        """Makes `method` of a shard raise the first time that it is called while a message is put back."""
        original, put_back, raised = getattr(Shard, method), blocking.put_back_all, []
        under_way = []

        def interrupted(shard, *args, **kwargs):
            if under_way and not raised:
                raised.append(shard)
                raise Interruption
            return original(shard, *args, **kwargs)

        def noticed(*args):
            under_way.append(args)
            put_back(*args)

        monkeypatch.setattr(Shard, method, interrupted)
        monkeypatch.setattr(blocking, "put_back_all", noticed)

    @pytest.mark.parametrize("method", ["checkout", "read"])
    def test_while_a_message_is_put_back_neither_it_nor_the_one_to_be_returned_is_lost(
        self, wait, shards, operations, key, monkeypatch, method
    ):
        sent = [b"0", b"1", b"2"]
        for shard, member in zip(shards, sent):
            put(shard, operations, member)
        with monkeypatch.context() as patch:
            self.interrupt_putting_back(patch, method)
            with pytest.raises(Interruption):
                wait()
        eventually(lambda: sum(shard.execute(operations.channel_statistics(b"work"))[2] for shard in shards) == 3)
        assert queued(shards, operations, key) == sent
        assert connections_are_sound(shards)

    def test_twice_in_a_row_the_pop_is_given_up_rather_than_left_behind(
        self, wait, shards, three_redis_servers, monkeypatch
    ):
        with monkeypatch.context() as patch:

            def always(*args):
                raise Interruption

            patch.setattr(blocking, "_poll", always)
            with pytest.raises(Interruption):
                wait(30)
        eventually(lambda: [blocked_clients(server) for server in three_redis_servers] == [0] * 3)
        assert wait(0.01) is None

    @pytest.mark.native("gevent raises a signal handler's exception in its hub")
    def test_a_keyboard_interrupt_in_the_main_thread(self, wait, shards, three_redis_servers):
        before = signal.getsignal(signal.SIGINT)
        signal.signal(signal.SIGINT, signal.default_int_handler)

        def interrupt():
            # On the last shard that is waited on: the wait has begun.
            eventually(lambda: blocked_clients(three_redis_servers[-1]))
            os.kill(os.getpid(), signal.SIGINT)

        interrupter = threading.Thread(target=interrupt)
        interrupter.start()
        try:
            with pytest.raises(KeyboardInterrupt):
                wait(30)
        finally:
            interrupter.join()
            signal.signal(signal.SIGINT, before)
        assert [blocked_clients(server) for server in three_redis_servers] == [0] * 3
        assert connections_are_sound(shards)

    def test_a_signal_handler_that_returns_does_not_end_the_wait(self, wait, shards, operations, three_redis_servers):
        caught = []
        before = signal.signal(signal.SIGUSR1, lambda *_: caught.append(1))

        def send():
            eventually(lambda: blocked_clients(three_redis_servers[0]))
            os.kill(os.getpid(), signal.SIGUSR1)
            eventually(lambda: caught)
            put(shards[0], operations, b"m")

        sender = threading.Thread(target=send)
        sender.start()
        try:
            assert wait(30) == b"m"
        finally:
            sender.join()
            signal.signal(signal.SIGUSR1, before)
        assert caught == [1]


class TestUnblocking:
    def test_a_pop_that_cannot_be_unblocked_ends_by_itself(self, redis_server, operations, prefix, key):
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
                (shard,) = [Shard(host) for host in parse_hosts([url], None)]
                started = time.monotonic()
                assert pop([(shard, operations.pop([key], 0.1))], 0.1, Waiter(), operations.give_back) is None
                assert time.monotonic() - started < 3
                assert connections_are_sound([shard])
                put(shard, operations, b"m")
                assert queued([shard], operations, key) == [b"m"]
            finally:
                client.acl_deluser(prefix)

    def test_a_pop_that_does_not_end_is_left_to_a_thread_that_puts_its_message_back(
        self, wait, shards, operations, key, monkeypatch
    ):
        monkeypatch.setattr(blocking, "_GIVE_UP", 0.05)
        execute = Shard.execute
        with monkeypatch.context() as patch:
            patch.setattr(Shard, "execute", lambda *args, **kwargs: None)  # no unblocking gets through
            with pytest.raises(redis.exceptions.TimeoutError, match=r"a blocking pop at .* does not end"):
                wait(0.01, on=shards[:1])
            assert not shards[0]._idle
        assert Shard.execute is execute
        put(shards[0], operations, b"m")
        eventually(lambda: len(shards[0]._idle) == 2)
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
