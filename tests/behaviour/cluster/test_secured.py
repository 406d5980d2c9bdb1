"""Clusters with TLS, users and credential providers: the options of the start nodes hold for all nodes."""

from __future__ import annotations

import pytest
import redis

from asgi_redis import RedisClusterChannelLayer
from tests.support.servers import ACL_PASSWORD, ACL_USER

USER = {"username": ACL_USER, "password": ACL_PASSWORD}


class Provider(redis.credentials.CredentialProvider):
    def get_credentials(self):
        return ACL_USER, ACL_PASSWORD


def sends_and_receives(layer):
    layer.send("work", {"n": 1})
    return layer.receive(["work", "other"], block=True) == ("work", {"n": 1})


def test_tls(tls_cluster, prefix):
    kwargs = {"ssl_ca_certs": tls_cluster.ca_file}
    with RedisClusterChannelLayer(hosts=tls_cluster.urls, shards=2, prefix=prefix, connection_kwargs=kwargs) as layer:
        assert sends_and_receives(layer)
        assert "rediss://" in str(layer)


def test_without_tls_at_nodes_that_speak_it_the_error_has_the_url_to_write(tls_cluster, prefix):
    urls = [url.replace("rediss://", "redis://") for url in tls_cluster.urls]
    layer = RedisClusterChannelLayer(hosts=urls, shards=1, prefix=prefix)
    with pytest.raises(redis.exceptions.ConnectionError, match="if its nodes speak TLS, write rediss://"):
        layer.send("work", {})


def test_with_tls_at_nodes_that_do_not_speak_it_too(single_node_cluster, prefix):
    urls = [url.replace("redis://", "rediss://") for url in single_node_cluster.urls]
    layer = RedisClusterChannelLayer(hosts=urls, shards=1, prefix=prefix)
    with pytest.raises(redis.exceptions.ConnectionError, match="if its nodes speak no TLS, write redis://"):
        layer.send("work", {})


def test_a_certificate_that_is_not_trusted_is_refused(tls_cluster, prefix):
    layer = RedisClusterChannelLayer(hosts=tls_cluster.urls, shards=1, prefix=prefix)
    with pytest.raises(redis.exceptions.ConnectionError, match=r"(?i)certificate"):
        layer.send("work", {})


@pytest.mark.parametrize("kwargs", [USER, {"credential_provider": Provider()}], ids=["password", "provider"])
def test_a_user(acl_cluster, prefix, kwargs):
    with RedisClusterChannelLayer(
        hosts=acl_cluster.hosts, shards=2, prefix=prefix, connection_kwargs=kwargs
    ) as layer:
        assert sends_and_receives(layer)
        assert ACL_PASSWORD not in str(layer)


def test_options_may_be_in_the_entries_where_they_are_the_same_in_all(acl_cluster, prefix):
    (host, port) = acl_cluster.hosts[0]
    hosts = [{"host": host, "port": port, **USER}, {"host": "localhost", "port": port, **USER}]
    with RedisClusterChannelLayer(hosts=hosts, shards=2, prefix=prefix) as layer:
        assert sends_and_receives(layer)


@pytest.mark.parametrize(
    ("kwargs", "advice"), [({}, "wants a password"), ({**USER, "password": "wrong1"}, "does not take the user name")]
)
def test_a_user_who_is_refused_is_told_so_at_once(acl_cluster, prefix, kwargs, advice):
    with RedisClusterChannelLayer(
        hosts=acl_cluster.hosts, shards=1, prefix=prefix, connection_kwargs=kwargs
    ) as layer:
        with pytest.raises(redis.exceptions.AuthenticationError, match=advice) as raised:
            layer.send("work", {})
        assert "wrong1" not in str(raised.value)


def test_a_provider_that_fails_is_an_outage(acl_cluster, prefix):
    class Broken(redis.credentials.CredentialProvider):
        def get_credentials(self):
            raise OSError("the vault is sealed")

    kwargs = {"credential_provider": Broken(), "socket_connect_timeout": 3}
    with (
        RedisClusterChannelLayer(hosts=acl_cluster.hosts, shards=1, prefix=prefix, connection_kwargs=kwargs) as layer,
        pytest.raises(redis.exceptions.ConnectionError, match="the vault is sealed"),
    ):
        layer.send("work", {})
