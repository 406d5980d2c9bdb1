"""How many connections there are, how old they may be, and what becomes of those that are dead."""

from __future__ import annotations

import select
import socket
import threading
import time

import pytest
import redis

from asgi_redis.connection import Server, execute_on_shards, parse_hosts, pipeline_execute
from asgi_redis.connection.redis_py import Unsent, write
from tests.support.queues import blocked_clients
from tests.support.shards import echo, incr, server_at, shard_at
from tests.support.threads import in_threads
from tests.support.waiting import eventually


def connected(shard, number):
    """That many connections, all in use."""
    return [shard.checkout() for _ in range(number)]


def idle(shard, number):
    for connection in connected(shard, number):
        shard.release(connection)


class TestMaxConnections:
    def test_callers_wait_for_one(self, proxy, redis_server):
        shard = server_at(proxy, max_connections=3)

        def ask(number):
            for turn in range(20):
                assert shard.execute(echo(b"%d.%d" % (number, turn))) == b"%d.%d" % (number, turn)

        in_threads(ask, range(12))
        assert proxy.connections <= 3

    def test_for_as_long_as_for_connecting_and_then_get_an_error_that_tells(self, redis_server):
        shard = server_at(redis_server, max_connections=2, socket_connect_timeout=0.2)
        held = connected(shard, 2)
        started = time.monotonic()
        with pytest.raises(redis.exceptions.ConnectionError, match=r"all 2 connections .*max_connections"):
            shard.execute(echo(b"a"))
        assert time.monotonic() - started >= 0.2
        shard.release(held.pop())
        assert shard.execute(echo(b"b")) == b"b"

    def test_one_that_was_lost_makes_room(self, redis_server):
        shard = server_at(redis_server, max_connections=1, socket_connect_timeout=10)
        (held,) = connected(shard, 1)
        asking = threading.Thread(target=lambda: shard.execute(echo(b"a")))
        asking.start()
        shard.after_error(held, redis.exceptions.ConnectionError())
        asking.join(5)
        assert not asking.is_alive()

    def test_the_end_of_a_wait_does_not_wait_for_one(self, layer_for, redis_server):
        layer = layer_for({"address": redis_server.url, "max_connections": 1})
        layer.receive_batch(["work"], 1, 0.01)
        waiting = threading.Thread(target=lambda: layer.receive_batch(["work"], 1, 30))
        waiting.start()
        started = time.monotonic()
        eventually(lambda: layer.unblock() or not waiting.is_alive())
        assert time.monotonic() - started < 4

    @pytest.mark.parametrize("where", ["hosts", "connection_kwargs", "url"])
    def test_it_is_given_like_redis_py_s_options(self, redis_server, where):
        url = f"{redis_server.url}?max_connections=7" if where == "url" else redis_server.url
        entry = {"address": url, "max_connections": 7} if where == "hosts" else url
        (host,) = parse_hosts([entry], {"max_connections": 7} if where == "connection_kwargs" else None)
        assert host.limits.max_connections == 7

    @pytest.mark.parametrize("name", ["max_connections", "max_connection_age", "max_idle_time"])
    @pytest.mark.parametrize("value", [0, -1, True, "many", float("nan")])
    def test_what_is_no_limit_is_refused_by_name(self, name, value):
        with pytest.raises(ValueError, match=rf"hosts\[0\]: {name} must be"):
            parse_hosts([{"host": "localhost", name: value}])


class TestAge:
    def test_what_is_idle_for_long_is_closed_by_a_later_call(self, fresh_redis_server):
        shard = server_at(fresh_redis_server, max_idle_time=0.2)
        idle(shard, 5)
        with redis.Redis(port=fresh_redis_server.port, protocol=2) as client:

            def clients():
                shard.execute(echo(b"a"))
                return client.info("clients")["connected_clients"]

            assert eventually(lambda: clients() <= 2)

    def test_what_is_idle_for_too_long_is_not_used(self, proxy):
        shard = server_at(proxy, max_idle_time=0.01)
        shard.execute(echo(b"a"))
        time.sleep(0.1)
        shard.execute(echo(b"b"))
        assert proxy.connections == 2

    def test_a_server_that_a_name_leads_to_no_longer_is_left(self, proxy, fresh_redis_server, layer_for):
        layer = layer_for({"address": proxy.url, "max_connection_age": 0.3})
        layer.send("work", {})
        proxy.target = fresh_redis_server.host, fresh_redis_server.port
        other = layer_for(fresh_redis_server)
        eventually(lambda: layer.send("work", {}) or other.receive(["work"]) != (None, None))

    def test_also_by_a_reader_that_waits(self, proxy, fresh_redis_server, layer_for, redis_server):
        layer = layer_for({"address": proxy.url, "max_connection_age": 0.3})
        reader = layer.reader()
        reader.receive_batch(["work"], 1, 0.01)
        proxy.target = fresh_redis_server.host, fresh_redis_server.port
        layer_for(fresh_redis_server).send("work", {"n": 1})
        eventually(lambda: reader.receive_batch(["work"], 1, 0.1) == [("work", {"n": 1})])
        reader.close()

    def test_the_network_is_kept_from_forgetting_a_silent_connection(self, redis_server):
        connection = server_at(redis_server).checkout()
        sock = connection._sock
        assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
        if hasattr(socket, "TCP_KEEPIDLE"):
            assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE) < 60
            dead_after = sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL)
            assert dead_after * sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT) < 120
        connection.disconnect()

    def test_the_users_options_for_that_win(self, redis_server):
        connection = server_at(redis_server, socket_keepalive=False, socket_keepalive_options={}).checkout()
        assert not connection._sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
        connection.disconnect()


class TestForgottenLines:
    """What a NAT, or a load balancer, has dropped: what is sent there is swallowed, and no answer comes."""

    def test_one_call_fails_and_all_that_are_as_old_are_left(self, proxy, prefix):
        shard = server_at(proxy, socket_timeout=0.5, health_check_interval=0)
        idle(shard, 6)
        proxy.forget_lines()
        with pytest.raises((redis.exceptions.TimeoutError, redis.exceptions.ConnectionError)):
            shard.execute(incr(prefix.encode()))
        for n in range(1, 7):
            assert shard.execute(incr(prefix.encode())) == n

    def test_what_was_used_since_is_not_left(self, proxy):
        shard = server_at(proxy, socket_timeout=0.5, health_check_interval=0)
        idle(shard, 1)
        dead = shard.checkout()
        proxy.forget_lines()
        idle(shard, 2)
        shard.after_error(dead, redis.exceptions.TimeoutError())
        assert len(shard._idle) == 2

    def test_after_a_while_of_no_use_no_call_fails(self, proxy, prefix):
        shard = server_at(proxy, socket_timeout=5, health_check_interval=0.01)
        idle(shard, 6)
        proxy.forget_lines()
        time.sleep(0.1)
        for n in range(1, 7):
            assert shard.execute(incr(prefix.encode())) == n

    def test_a_blocking_pop_that_never_ends_is_such_a_sign_too(self, proxy, layer_for, redis_server):
        layer = layer_for(proxy.url, connection_kwargs={"health_check_interval": 0})
        reader = layer.reader()
        idle(layer._shards[0].server, 6)
        reader.receive_batch(["work"], 1, 0.01)
        waiting = threading.Thread(target=lambda: reader.receive_batch(["work"], 1, 2))
        waiting.start()
        eventually(lambda: blocked_clients(redis_server))
        proxy.forget_lines()
        waiting.join(20)
        layer.send("work", {"n": 1})
        assert eventually(lambda: reader.receive_batch(["work"], 1, 0.1)) == [("work", {"n": 1})]
        reader.close()


class TestClosedInTheLastMoment:
    """An idle connection that the server has closed less than 50 ms ago counts as alive, without a look."""

    @pytest.fixture(autouse=True)
    def _fresh(self, monkeypatch):
        monkeypatch.setattr("asgi_redis.connection.pool.FRESH_SECONDS", 60)

    @pytest.fixture
    def reset(self, proxy):
        """Has all connections of a shard closed, so that this end knows."""

        def reset(shard):
            proxy.cut(reset=True)
            for connection, _ in shard._idle:
                poll = select.poll()
                poll.register(connection._sock, select.POLLIN)
                assert poll.poll(10_000)

        return reset

    def test_nothing_was_sent_and_it_connects_anew(self, proxy, prefix, reset):
        shard = server_at(proxy)
        idle(shard, 3)
        reset(shard)
        assert shard.execute(incr(prefix.encode())) == 1
        assert shard.execute(incr(prefix.encode())) == 2
        assert proxy.connections == 4

    def test_in_a_call_on_several_shards(self, proxy, prefix, redis_server, reset):
        shards = [shard_at(proxy), shard_at(redis_server)]
        for shard in shards:
            idle(shard.server, 1)
        reset(shards[0].server)
        key = prefix.encode()
        assert sorted(execute_on_shards([(shard, incr(key)) for shard in shards])) == [1, 2]

    def test_in_a_call_for_many_callers(self, proxy, prefix, reset):
        shard = server_at(proxy)
        idle(shard, 1)
        reset(shard)
        assert pipeline_execute(shard, [incr(prefix.encode())] * 3) == [1, 2, 3]

    def test_in_a_blocking_receive(self, proxy, layer_for, redis_server, reset):
        layer = layer_for(proxy.url)
        layer.receive_batch(["work"], 1, 0.01)
        layer_for(redis_server).send("work", {"n": 1})
        reset(layer._shards[0].server)
        assert layer.receive(["work"], block=True) == ("work", {"n": 1})

    def test_what_was_written_in_part_is_not_written_again(self, redis_server, prefix):
        """A server that reads a part of it, and goes."""
        with socket.create_server(("127.0.0.1", 0)) as listener:

            def without_a_word(connection):
                connection._parser.on_connect(connection)

            (host,) = parse_hosts([listener.getsockname()], {"redis_connect_func": without_a_word})
            shard = Server(host, keeps_keys=False)
            connection = shard.checkout()
            server, _ = listener.accept()

            def read_some():
                server.recv(100_000)
                server.close()

            reading = threading.Thread(target=read_some)
            reading.start()
            with pytest.raises(redis.exceptions.ConnectionError) as raised:
                shard.send(connection, echo(bytes(64_000_000)).packed)
            reading.join()
            assert not isinstance(raised.value, Unsent)
            listener.settimeout(0.1)
            with pytest.raises(socket.timeout):
                listener.accept()

    def test_only_what_was_refused_as_a_whole_counts_as_unsent(self, redis_server):
        connection = server_at(redis_server).checkout()
        connection._sock.shutdown(socket.SHUT_WR)
        with pytest.raises(Unsent):
            write(connection, b"PING")
        connection.disconnect()
        with pytest.raises(Unsent):
            write(connection, b"PING")


def test_a_user_who_is_not_known_any_more_is_asked_for_anew(fresh_redis_server, layer_for):
    """As when a token has expired."""
    asked = []

    class Tokens(redis.credentials.CredentialProvider):
        def get_credentials(self):
            asked.append(len(asked))
            return "app", f"token{len(asked)}"

    with redis.Redis(port=fresh_redis_server.port, protocol=2) as client:
        client.execute_command("ACL", "SETUSER", "app", "on", ">token1", "~*", "&*", "+@all")
        layer = layer_for({"address": fresh_redis_server.url, "credential_provider": Tokens()})
        layer.send("work", {"n": 1})
        shard = layer._shards[0].server
        client.execute_command("ACL", "SETUSER", "app", "<token1", ">token2")
        client.execute_command("ACL", "SETUSER", "default", "off")
        connection = shard.checkout()
        connection.send_command("RESET")
        connection.read_response()
        shard.release(connection)
        with pytest.raises(redis.exceptions.AuthenticationError, match="wants a password"):
            layer.send("work", {"n": 2})
        layer.send("work", {"n": 3})
        assert [layer.receive(["work"])[1]["n"] for _ in range(2)] == [1, 3]
