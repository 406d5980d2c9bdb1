"""Every form that a host may have, mixed; and what is said about the others."""

from __future__ import annotations

import traceback
from urllib.parse import quote

import pytest

from asgi_redis.connection.hosts import parse_hosts
from asgi_redis.exceptions import ConfigurationError
from tests.support.passwords import SECRET


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
            ("valkey://localhost/2", "valkey://localhost:6379/2"),
            ("valkeys://host:7000", "valkeys://host:7000/0"),
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

    def test_none_is_the_redis_of_this_machine(self):
        assert [host.name for host in parse_hosts(None, None)] == ["redis://localhost:6379/0"]

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
        (client,) = host._cluster._clients().sentinels
        kwargs = client.connection_pool.connection_kwargs
        assert kwargs["password"] == "theirs"
        assert kwargs["socket_timeout"] == 0.3
        assert kwargs["socket_connect_timeout"] == 1  # there are other Sentinels
        assert kwargs["protocol"] == 2
        assert kwargs["retry"]._retries <= 1


class TestBadForms:
    def test_an_empty_list(self):
        with pytest.raises(ValueError, match="hosts is empty; leave it out for redis://localhost:6379"):
            parse_hosts([], None)

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
            (f"redis://alice:pa#{SECRET}@h", "quote special characters of the password"),
            (f"redis://alice:pa/{SECRET}@h", "quote special characters of the password"),
            (f"redis://alice:p@a/{SECRET}@h", "quote special characters of the password"),
            # What is left of these is the URL of another server.
            (f"redis://alice:12#{SECRET}@h:6379/0", "quote special characters of the password"),
            (f"redis://:12?{SECRET}@h:6379/0", "quote special characters of the password"),
            (f"redis://:{SECRET}@h:99999/0?client_name=a@b", "the port must be a number"),
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
        assert SECRET not in "".join(traceback.format_exception(None, raised.value, None))

    def test_connection_kwargs_must_be_a_dict(self):
        with pytest.raises(ValueError, match="connection_kwargs must be a dict"):
            parse_hosts(None, ["socket_timeout"])
