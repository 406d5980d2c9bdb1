"""Connecting to a host of every form, and to hosts that refuse or do not answer."""

from __future__ import annotations

import socket
import time
from urllib.parse import quote

import pytest
import redis

from asgi_redis.connection.hosts import Host, parse_hosts
from asgi_redis.process import identity
from tests.support.passwords import SECRET
from tests.support.servers import ACL_PASSWORD, ACL_USER


def exchange(layer):
    layer.send("work", {"a": 1})
    assert layer.receive(["work"], block=True) == ("work", {"a": 1})
    layer.send("work", {"a": 2})
    assert layer.receive(["work"]) == ("work", {"a": 2})


class TestConnecting:
    def test_over_a_unix_socket(self, layer_for, redis_server):
        exchange(layer_for(redis_server.unix_url))
        exchange(layer_for({"path": str(redis_server.unix_socket)}))

    def test_to_another_database(self, layer_for, redis_server):
        layer = layer_for(f"redis://127.0.0.1:{redis_server.port}/5")
        layer.send("work", {})
        assert layer_for(redis_server).receive(["work"]) == (None, None)
        assert layer.receive(["work"]) == ("work", {})

    @pytest.mark.parametrize(
        "host",
        [
            lambda tls: f"{tls.url}?ssl_ca_certs={quote(tls.ca_file)}",
            lambda tls: {"address": tls.url, "ssl_ca_certs": tls.ca_file},
            lambda tls: {"host": "127.0.0.1", "port": tls.server.port, "ssl": True, "ssl_ca_certs": tls.ca_file},
        ],
    )
    def test_over_tls_with_a_self_signed_certificate(self, layer_for, tls_server, host):
        exchange(layer_for(host(tls_server)))

    def test_over_tls_on_two_shards_and_with_big_messages(self, layer_for, tls_server, redis_server):
        layer = layer_for({"address": tls_server.url, "ssl_ca_certs": tls_server.ca_file}, redis_server)
        for number in range(4):
            layer.send("work", {"b": bytes(200_000), "n": number})
        received = [layer.receive(["work"], block=True)[1] for _ in range(4)]
        assert sorted(message["n"] for message in received) == list(range(4))
        assert {len(message["b"]) for message in received} == {200_000}

    def test_tls_whose_certificate_nobody_vouches_for_is_refused(self, layer_for, tls_server):
        with pytest.raises(redis.exceptions.ConnectionError, match="certificate"):
            layer_for(tls_server.url).send("work", {})

    @pytest.mark.parametrize(
        "host",
        [
            lambda server: f"redis://{ACL_USER}:{quote(ACL_PASSWORD, safe='')}@127.0.0.1:{server.port}",
            lambda server: {
                "host": "127.0.0.1",
                "port": server.port,
                "username": ACL_USER,
                "password": ACL_PASSWORD,
            },
        ],
    )
    def test_as_an_acl_user(self, layer_for, acl_server, host):
        exchange(layer_for(host(acl_server)))

    def test_a_wrong_password_is_an_error_that_does_not_show_it(self, layer_for, acl_server):
        layer = layer_for(f"redis://{ACL_USER}:{SECRET}@127.0.0.1:{acl_server.port}")
        with pytest.raises(redis.exceptions.AuthenticationError) as raised:
            layer.send("work", {})
        error = raised.value
        while error is not None:
            assert SECRET not in str(error) + repr(error)
            error = error.__cause__ or error.__context__

    def test_to_the_master_of_a_sentinel_service(self, layer_for, sentinel):
        exchange(layer_for({"sentinels": sentinel.sentinels, "master_name": sentinel.master_name}))

    def test_sentinels_that_cannot_be_reached_are_a_connection_error_soon_and_without_password(self, layer_for):
        layer = layer_for(
            {"sentinels": [("127.0.0.1", 1)], "master_name": "m", "sentinel_kwargs": {"password": SECRET}}
        )
        started = time.monotonic()
        with pytest.raises(redis.exceptions.ConnectionError, match=r"no Sentinel .* sentinel service m") as raised:
            layer.send("work", {})
        assert time.monotonic() - started < 4
        assert SECRET not in str(raised.value)

    def test_a_service_that_the_sentinels_do_not_know_is_named(self, layer_for, sentinel):
        layer = layer_for({"sentinels": sentinel.sentinels, "master_name": "unheard-of"})
        with pytest.raises(redis.exceptions.ConnectionError, match="unheard-of"):
            layer.send("work", {})

    def test_all_forms_mix_in_one_layer(self, layer_for, redis_server, acl_server, sentinel):
        layer = layer_for(
            redis_server.unix_url,
            {"host": "127.0.0.1", "port": acl_server.port, "username": ACL_USER, "password": ACL_PASSWORD},
            {"sentinels": sentinel.sentinels, "master_name": sentinel.master_name},
        )
        for number in range(6):
            layer.send("work", {"n": number})
        received = [layer.receive(["work"], block=True)[1]["n"] for _ in range(6)]
        assert sorted(received) == list(range(6))

    def test_resp_3_where_the_user_asks_for_it(self, layer_for, three_redis_servers):
        layer = layer_for(*three_redis_servers, connection_kwargs={"protocol": 3})
        exchange(layer)
        layer.group_add("chat", "p!x")
        layer.send_group("chat", {"b": b"\x00"})
        assert layer.receive(["p!"], block=True) == ("p!x", {"b": b"\x00"})
        assert layer.channel_statistics("p!x")["messages_count"] == 1
        layer.flush()

    def test_decoded_responses_do_no_harm(self, layer_for, redis_server):
        exchange(layer_for(redis_server, connection_kwargs={"decode_responses": True}))

    def test_a_host_that_does_not_answer_is_a_connection_error_after_the_connect_timeout(self):
        with socket.create_server(("127.0.0.1", 0), backlog=0) as listener:
            address = listener.getsockname()
            waiting = []
            try:
                for _ in range(4):  # more than the backlog holds: from now on nobody gets through
                    client = socket.socket()
                    client.setblocking(False)
                    client.connect_ex(address)
                    waiting.append(client)
                (host,) = parse_hosts([address], {"socket_connect_timeout": 0.2})
                with pytest.raises(redis.exceptions.ConnectionError, match="does not answer") as raised:
                    host.connect()
                assert isinstance(raised.value.__cause__, redis.exceptions.TimeoutError)
            finally:
                for client in waiting:
                    client.close()

    def test_a_host_connects_anew_each_time(self, redis_server):
        (host,) = parse_hosts([redis_server.url], None)
        assert isinstance(host, Host)
        first, second = host.connect(), host.connect()
        assert first is not second
        first.disconnect()
        second.disconnect()


class TestNames:
    """The names of connections in ``CLIENT LIST``."""

    @pytest.fixture
    def client(self, redis_server):
        with redis.Redis(port=redis_server.port, protocol=2, decode_responses=True) as client:
            yield client

    @pytest.fixture
    def names_of(self, client, prefix, layer_for, redis_server):
        """``names_of(*commands, **options)``: the names of the connections of a user with these permissions."""

        def connect(*commands, **options):
            client.acl_setuser(prefix, enabled=True, passwords=["+secret"], keys=["*"], commands=["+@all", *commands])
            exchange(layer_for({"address": redis_server.url, "username": prefix, "password": "secret", **options}))
            return {connection["name"] for connection in client.client_list() if connection["user"] == prefix}

        yield connect
        client.acl_deluser(prefix)

    def test_a_connection_has_the_name_of_its_process(self, names_of):
        assert names_of() == {identity.client_name()}

    def test_a_name_of_the_user_stays(self, names_of):
        assert names_of(client_name="mine") == {"mine"}

    @pytest.mark.needs_redis(7, 0)  # rules for subcommands
    def test_a_user_who_may_not_set_it_has_none(self, names_of):
        assert names_of("-client|setname") == {""}
