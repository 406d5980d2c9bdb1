"""Every form that a host may have, mixed; and what is said about the others."""

from __future__ import annotations

import socket
import time
from urllib.parse import quote

import pytest
import redis

from asgi_redis.connection.hosts import Host, parse_hosts
from asgi_redis.exceptions import ConfigurationError
from tests.servers import ACL_PASSWORD, ACL_USER

SECRET = "pa55word"


def names(*hosts, **connection_kwargs):
    return [host.name for host in parse_hosts(list(hosts), connection_kwargs)]


def options(host, **connection_kwargs):
    """Returns the connection that would be made, unconnected, to read its options."""
    (parsed,) = parse_hosts([host], connection_kwargs)
    return parsed._make()


class TestForms:
    @pytest.mark.parametrize(
        ("host", "name"),
        [
            ("redis://h", "redis://h:6379/0"),
            ("redis://h:7000/3", "redis://h:7000/3"),
            ("redis://h:7000?db=4", "redis://h:7000/4"),
            (f"redis://alice:{SECRET}@h:7000/3", "redis://h:7000/3"),
            ("rediss://h", "rediss://h:6379/0"),
            ("unix:///tmp/r.sock", "unix:///tmp/r.sock?db=0"),
            (f"unix://:{SECRET}@/tmp/r.sock?db=2", "unix:///tmp/r.sock?db=2"),
            (("h", 7000), "redis://h:7000/0"),
            (["h", 7000], "redis://h:7000/0"),
            (("h", "7000"), "redis://h:7000/0"),
            ({"host": "h"}, "redis://h:6379/0"),
            ({"port": 7000}, "redis://localhost:7000/0"),
            ({"host": "h", "port": 7000, "db": 5, "password": SECRET}, "redis://h:7000/5"),
            ({"host": "h", "ssl": True, "ssl_cert_reqs": "none"}, "rediss://h:6379/0"),
            ({"path": "/tmp/r.sock"}, "unix:///tmp/r.sock?db=0"),
            ({"address": "redis://h:7000", "password": SECRET}, "redis://h:7000/0"),
            ({"address": ("h", 7000)}, "redis://h:7000/0"),
            ({"address": "unix:///tmp/r.sock", "db": 1}, "unix:///tmp/r.sock?db=1"),
            ({"sentinels": [("s", 26379)], "master_name": "mymaster"}, "sentinel service mymaster"),
            ({"sentinels": [["s", 26379]], "master_name": "m", "sentinel_kwargs": None}, "sentinel service m"),
            ({"host": "h", "max_connections": 50}, "redis://h:6379/0"),
            ({"address": "redis://h", "max_connections": 50}, "redis://h:6379/0"),
        ],
    )
    def test_a_host_is_named_by_its_address_without_any_password(self, host, name):
        assert names(host) == [name]

    def test_they_mix(self):
        assert names("redis://a", ("b", 1), {"host": "c"}) == [
            "redis://a:6379/0",
            "redis://b:1/0",
            "redis://c:6379/0",
        ]

    @pytest.mark.parametrize("hosts", [None, []])
    def test_none_is_the_redis_of_this_machine(self, hosts):
        assert [host.name for host in parse_hosts(hosts, None)] == ["redis://localhost:6379/0"]

    def test_its_repr_is_its_name(self):
        (host,) = parse_hosts([f"redis://:{SECRET}@h"], None)
        assert repr(host) == "redis://h:6379/0"

    def test_the_defaults_are_resp_2_timeouts_and_never_a_second_try(self):
        for form in ("redis://h", ("h", 1), {"host": "h"}, {"address": "rediss://h"}):
            connection = options(form)
            assert int(connection.protocol) == 2
            assert connection.socket_connect_timeout == 5
            assert connection.socket_timeout == 20
            assert connection.socket_keepalive
            assert connection.retry._retries == 0

    def test_redis_pys_own_retries_cannot_be_asked_for(self):
        from redis.backoff import NoBackoff
        from redis.retry import Retry

        connection = options("redis://h", retry=Retry(NoBackoff(), 5), retry_on_timeout=True)
        assert connection.retry._retries == 0

    def test_options_for_all_hosts_give_way_to_those_of_one(self):
        assert options(("h", 1), socket_timeout=7).socket_timeout == 7
        assert options({"host": "h", "socket_timeout": 3}, socket_timeout=7).socket_timeout == 3
        assert options({"address": "redis://h", "socket_timeout": 3}, socket_timeout=7).socket_timeout == 3
        assert options("redis://h?socket_timeout=3", socket_timeout=7).socket_timeout == 3

    def test_quoted_credentials_in_a_url_are_unquoted(self):
        connection = options(f"redis://alice:{quote('wonder/land @ 7', safe='')}@h")
        assert (connection.username, connection.password) == ("alice", "wonder/land @ 7")

    def test_sentinels_get_the_timeouts_and_the_protocol_but_neither_the_user_nor_many_tries(self):
        (host,) = parse_hosts(
            [
                {
                    "sentinels": [("s", 1)],
                    "master_name": "m",
                    "password": SECRET,
                    "sentinel_kwargs": {"password": "theirs"},
                }
            ],
            {"socket_timeout": 0.3},
        )
        (client,) = host._cluster._sentinel.sentinels
        kwargs = client.connection_pool.connection_kwargs
        assert kwargs["password"] == "theirs"
        assert kwargs["socket_timeout"] == 0.3
        assert kwargs["socket_connect_timeout"] == 1  # there are other Sentinels
        assert kwargs["protocol"] == 2
        assert kwargs["retry"]._retries <= 1


class TestBadForms:
    @pytest.mark.parametrize("hosts", ["redis://localhost", b"redis://localhost", {"host": "localhost"}, 7])
    def test_hosts_that_are_not_a_list(self, hosts):
        with pytest.raises(ValueError, match=r"hosts must be a list, even for one Redis: \[url\]"):
            parse_hosts(hosts, None)

    @pytest.mark.parametrize(
        ("host", "advice"),
        [
            (f"http://alice:{SECRET}@h", "unknown scheme 'http'; write redis://, rediss://"),
            (f"alice:{SECRET}@h:6379", "not a URL; write a URL"),
            (f"redis:/alice:{SECRET}@h", "not a URL"),
            (f"redis://alice:{SECRET}@h:port", "the port must be a number from 1 to 65535"),
            (f"redis://alice:{SECRET}@h:0", "the port must be a number from 1 to 65535"),
            (f"redis://alice:{SECRET}@h:65536", "the port must be a number from 1 to 65535"),
            (f"redis://alice:{SECRET}@h:1/zero", "the database must be a number"),
            (f"redis://alice:pa#{SECRET}@h", "the port must be a number"),
            (f"redis://alice:{SECRET}@h?socket_timeout=long", "an option in the query of the URL has a wrong value"),
            (f"redis://alice:{SECRET}@h?colour=red", "unexpected keyword argument 'colour'"),
            (f"rediss://:{SECRET}@h?ssl_cert_reqs=perhaps", "Certificate Requirements"),
            (("h", 0), "the port must be a number from 1 to 65535, not 0"),
            (("h", "6379a"), "not '6379a'"),
            (("h", None), "not None"),
            (("h", True), "not True"),
            (("h",), "must be a URL"),
            (("h", 1, SECRET), "must be a URL"),
            (7, "must be a URL .* not a int"),
            (None, "not a NoneType"),
            ((None, 1), "the host must be a name"),
            ({"host": f"redis://:{SECRET}@h"}, "a URL goes into hosts"),
            ({"host": "h", "colour": SECRET}, "unexpected keyword argument 'colour'"),
            ({"host": "h", "password": SECRET, "protocol": 7}, "protocol must be"),
            ({"address": {"host": "h"}}, "address must be a URL"),
            ({"address": f"http://:{SECRET}@h"}, "unknown scheme"),
            ({"sentinels": [("s", 1)], "password": SECRET}, '"master_name": "mymaster"'),
            ({"master_name": "m", "password": SECRET}, r'write \{"sentinels"'),
            ({"sentinels": f"redis://:{SECRET}@s", "master_name": "m"}, r'write \{"sentinels"'),
            ({"sentinels": [f"redis://:{SECRET}@s"], "master_name": "m"}, "not URLs"),
            ({"sentinels": [7], "master_name": "m"}, "pairs"),
            ({"sentinels": [("s", 0)], "master_name": "m"}, "the port must be"),
        ],
    )
    def test_a_form_that_cannot_work_is_refused_with_its_position_and_without_its_password(self, host, advice):
        with pytest.raises(ConfigurationError, match=advice) as raised:
            parse_hosts(["redis://fine", host], None)
        assert str(raised.value).startswith("hosts[1]: ")
        assert SECRET not in str(raised.value)
        assert raised.value.__suppress_context__ or raised.value.__cause__ is None

    def test_connection_kwargs_must_be_a_dict(self):
        with pytest.raises(ValueError, match="connection_kwargs must be a dict"):
            parse_hosts(None, ["socket_timeout"])


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
        assert time.monotonic() - started < 2
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
