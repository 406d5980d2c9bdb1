"""Interruptions of a wait on several servers: no pop is left behind, and no message is lost."""

from __future__ import annotations

import os
import signal
import threading

import pytest

from asgi_redis.connection import Server, blocking_pop
from tests.support.queues import blocked_clients, put, queued
from tests.support.shards import connections_are_sound
from tests.support.waiting import eventually


class Interruption(BaseException):
    """Like gevent.Timeout: no Exception."""


class TestInterruptions:
    """Whatever is raised in the middle of a wait comes out; the pops do not stay behind, nor does a message."""

    def interrupt(self, monkeypatch, nth):
        """Makes the n-th look at the sockets raise, as a signal handler or gevent would."""
        poll, looks = blocking_pop.poll, []

        def interrupted(*args):
            looks.append(args)
            if len(looks) == nth:
                raise Interruption
            return poll(*args)

        monkeypatch.setattr(blocking_pop, "poll", interrupted)

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
        original, requeue_all, raised = getattr(Server, method), blocking_pop.requeue_all, []
        under_way = []

        def interrupted(shard, *args, **kwargs):
            if under_way and not raised:
                raised.append(shard)
                raise Interruption
            return original(shard, *args, **kwargs)

        def noticed(*args):
            under_way.append(args)
            requeue_all(*args)
            under_way.clear()

        monkeypatch.setattr(Server, method, interrupted)
        monkeypatch.setattr(blocking_pop, "requeue_all", noticed)

    @pytest.mark.parametrize("method", ["checkout", "release"])
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
        eventually(
            lambda: (
                sum(shard.execute(operations.channel_statistics(b"work"))["messages_pending"] for shard in shards)
                == 3
            )
        )
        assert queued(shards, operations, key) == sent
        assert connections_are_sound(shards)

    def test_twice_in_a_row_the_pop_is_given_up_rather_than_left_behind(
        self, wait, shards, three_redis_servers, monkeypatch
    ):
        with monkeypatch.context() as patch:

            def always(*args):
                raise Interruption

            patch.setattr(blocking_pop, "poll", always)
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
