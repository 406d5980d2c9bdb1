"""One server as a blocking caller sees it: no connection of unknown state is kept, and nothing is sent twice."""

from __future__ import annotations

import os
import select
import threading
import time

import pytest
import redis

from asgi_redis.connection import Shard, redis_py
from asgi_redis.connection.exchange import Exchange
from asgi_redis.connection.replies import hiredis
from asgi_redis.wire import Operation
from asgi_redis.wire.operation import command
from tests.support.servers import pause, resume
from tests.support.shards import echo, incr, server_at
from tests.support.threads import in_threads

PUSHES = hiredis is None or hasattr(hiredis, "PushNotification")


@pytest.fixture
def shard(redis_server):
    shard = server_at(redis_server)
    yield shard
    shard.drop_idle()


class TestExecute:
    def test_it_returns_what_the_reply_means(self, shard):
        assert shard.execute(Operation(command(b"ECHO", b"7"), int)) == 7

    def test_several_replies_are_read_together(self, shard):
        operation = Operation(command(b"ECHO", b"a") + command(b"ECHO", b"b"), list, 2)
        assert shard.execute(operation) == [b"a", b"b"]

    def test_one_call_after_another_uses_one_connection(self, shard):
        ids = {shard.execute(Operation(command(b"CLIENT", b"ID"), int)) for _ in range(20)}
        assert len(ids) == 1

    def test_threads_get_their_own_replies(self, shard):
        def ask(number):
            for turn in range(100):
                text = b"%d.%d" % (number, turn)
                assert shard.execute(echo(text)) == text

        in_threads(ask, range(8))

    @pytest.mark.parametrize("text", [b"x" * 1_000_000, b"line\r\n" * 30_000])
    def test_a_reply_that_comes_in_pieces_is_put_together(self, shard, text):
        assert shard.execute(echo(text)) == text
        both = Operation(command(b"ECHO", text) + command(b"ECHO", b"next"), list, 2)
        assert shard.execute(both) == [text, b"next"]

    @pytest.mark.parametrize("size", [1, 4])
    def test_each_of_several_replies_may_come_in_pieces(self, shard, prefix, monkeypatch, size):
        monkeypatch.setattr(redis_py, "receive", lambda connection: connection._sock.recv(size))
        key = prefix.encode()
        both = Operation(command(b"INCR", key) + command(b"ECHO", b"a\r\n"), list, 2)
        assert [shard.execute(both) for _ in range(2)] == [[1, b"a\r\n"], [2, b"a\r\n"]]

    @pytest.mark.skipif(not PUSHES, reason="to this hiredis a message that was pushed is a list like any other")
    def test_a_message_that_redis_pushes_is_no_reply(self, redis_server, prefix):
        shard, other, key = server_at(redis_server, protocol=3), server_at(redis_server), prefix.encode()
        shard.execute(Operation(command(b"CLIENT", b"TRACKING", b"ON", b"BCAST"), bytes))
        for number in range(1, 20):
            assert other.execute(incr(key)) == 2 * number - 1  # it tells the others that the key has changed
            assert shard.execute(echo(b"%d" % number)) == b"%d" % number
            assert other.execute(incr(key)) == 2 * number
            exchange = Exchange(Shard(shard), echo(b"%d" % number))
            exchange.start()
            assert exchange.result() == b"%d" % number
            exchange.release()
        shard.drop_idle()
        other.drop_idle()

    def test_an_error_that_is_a_reply_leaves_the_connection_in_use(self, shard):
        connected = shard.execute(Operation(command(b"CLIENT", b"ID"), int))
        with pytest.raises(redis.exceptions.ResponseError):
            shard.execute(Operation(command(b"INCR", b"a", b"b"), int))
        assert shard.execute(Operation(command(b"CLIENT", b"ID"), int)) == connected

    def test_of_several_replies_all_are_read_before_one_that_is_an_error_is_raised(self, shard):
        operation = Operation(command(b"INCR", b"a", b"b") + command(b"ECHO", b"leftover"), list, 2)
        with pytest.raises(redis.exceptions.ResponseError):
            shard.execute(operation)
        assert shard.execute(echo(b"next")) == b"next"

    @pytest.mark.parametrize("interruption", [KeyboardInterrupt, SystemExit])
    def test_a_reply_that_nobody_waited_for_is_never_taken_for_the_next(self, shard, monkeypatch, interruption):
        class Timeout(interruption):
            """Like gevent.Timeout, which is no Exception."""

        connection = shard.checkout()
        shard.release(connection)

        def interrupted(*args, **kwargs):
            raise Timeout

        with monkeypatch.context() as patch:
            patch.setattr(redis_py, "receive", interrupted)
            with pytest.raises(Timeout):
                shard.execute(echo(b"first"))
        assert shard.execute(echo(b"second")) == b"second"

    def test_after_a_timeout_the_late_reply_is_not_read(self, fresh_redis_server):
        shard = server_at(fresh_redis_server, socket_timeout=0.1)
        shard.execute(echo(b"warm"))
        pause(fresh_redis_server)
        # On Python 3.9 redis-py takes a timeout for the loss of the connection.
        with pytest.raises((redis.exceptions.TimeoutError, redis.exceptions.ConnectionError)):
            shard.execute(echo(b"first"))
        resume(fresh_redis_server)
        assert shard.execute(echo(b"second")) == b"second"

    def test_a_command_whose_reply_is_lost_is_not_sent_again(self, proxy, redis_server, prefix):
        shard = server_at(proxy)
        key = prefix.encode()
        assert shard.execute(incr(key)) == 1
        proxy.cut_on(b"INCR")
        with pytest.raises(redis.exceptions.ConnectionError):
            shard.execute(incr(key))
        assert shard.execute(incr(key)) == 3

    def test_a_connection_that_died_while_idle_is_replaced_unnoticed(self, proxy):
        shard = server_at(proxy)
        shard.execute(echo(b"warm"))
        proxy.cut()
        connection, _ = shard._idle[-1]
        poll = select.poll()
        poll.register(connection._sock, select.POLLIN)
        assert poll.poll(5000), "the end of the line has arrived"
        shard._idle[-1] = (connection, time.monotonic() - 1)
        assert shard.execute(echo(b"again")) == b"again"

    def test_a_lost_server_costs_all_its_idle_connections(self, fresh_redis_server):
        shard = server_at(fresh_redis_server)
        connections = [shard.checkout() for _ in range(3)]
        for connection in connections:
            shard.release(connection)
        fresh_redis_server.kill()
        with pytest.raises(redis.exceptions.ConnectionError):
            shard.execute(echo(b"gone"))
        assert not shard._idle

    def test_no_more_than_a_hundred_are_kept(self, shard):
        connections = [shard.checkout() for _ in range(101)]
        for connection in connections:
            shard.release(connection)
        assert len(shard._idle) == 100
        shard.drop_idle()
        assert not shard._idle


@pytest.mark.native("the parent waits for its child without gevent")
class TestFork:
    def test_a_forked_process_shares_no_connection(self, shard):
        ours = shard.execute(Operation(command(b"CLIENT", b"ID"), int))
        read_end, write_end = os.pipe()
        pid = os.fork()
        if not pid:
            try:
                os.write(write_end, b"%d" % shard.execute(Operation(command(b"CLIENT", b"ID"), int)))
            finally:
                os._exit(0)
        os.close(write_end)
        with os.fdopen(read_end, "rb") as said:
            theirs = int(said.read())
        os.waitpid(pid, 0)
        assert theirs != ours
        assert shard.execute(Operation(command(b"CLIENT", b"ID"), int)) == ours, (
            "the child has closed nothing of ours"
        )

    def test_a_fork_amid_calls_of_other_threads_leaves_parent_and_child_working(self, layer_for, redis_server):
        layer = layer_for(redis_server)
        layer.block_timeout = 0.05
        stop = threading.Event()
        errors = []

        def receive():
            try:
                while not stop.is_set():
                    layer.receive(["nothing"], block=True)
            except Exception as error:  # noqa: BLE001  shown below
                errors.append(error)

        threads = [threading.Thread(target=receive) for _ in range(4)]
        for thread in threads:
            thread.start()
        statuses = []
        for _ in range(5):
            pid = os.fork()
            if not pid:
                code = 1
                try:
                    layer.send("work", {"pid": os.getpid()})
                    layer.receive(["nothing"], block=True)
                    code = 0
                finally:
                    os._exit(code)
            statuses.append(os.waitpid(pid, 0)[1])
        stop.set()
        for thread in threads:
            thread.join()
        assert statuses == [0] * 5
        assert errors == []
        assert len(layer.receive_batch(["work"], 10)) == 5
