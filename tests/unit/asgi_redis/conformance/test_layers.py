"""asgiref 1.1.2's conformance suite against the layers, in each of their set-ups."""

from __future__ import annotations

import unittest

import pytest

from asgi_redis import InMemoryChannelLayer, RedisChannelLayer
from tests.support.conformance import load_conformance_test_case

ConformanceTestCase = load_conformance_test_case()
ConformanceTestCase.__test__ = False  # only its subclasses are tests


class Settings:
    """The plain set-up; each test has a prefix of its own, because flush() would take the others' messages."""

    __test__ = True
    expiry_delay = 1.1
    capacity_limit = 5
    options = {}

    @pytest.fixture(autouse=True)
    def _layer(self, request, prefix):
        settings = {"expiry": 1, "group_expiry": 0.5, "capacity": self.capacity_limit, **self.options}
        with self.make_layer(request, prefix, settings) as self.channel_layer:
            yield
            self.channel_layer.flush()

    def make_layer(self, request, prefix, settings):
        return RedisChannelLayer(hosts=self.hosts(request), prefix=prefix, **settings)

    @staticmethod
    def hosts(request):
        return [request.getfixturevalue("redis_server").url]


class TestPlain(Settings, ConformanceTestCase):
    """One Redis."""


@pytest.mark.soak
class TestUnixSocket(Settings, ConformanceTestCase):
    """One Redis, over its Unix socket."""

    @staticmethod
    def hosts(request):
        return [request.getfixturevalue("redis_server").unix_url]


@pytest.mark.soak
class TestSharded(Settings, ConformanceTestCase):
    """Three servers."""

    @staticmethod
    def hosts(request):
        return [server.url for server in request.getfixturevalue("three_redis_servers")]


@pytest.mark.soak
class TestEncrypted(Settings, ConformanceTestCase):
    """With a key, and an old one that still decrypts."""

    options = {"symmetric_encryption_keys": ["new", "old"]}


class TestShardedAndEncrypted(Settings, ConformanceTestCase):
    """Both at once."""

    options = {"symmetric_encryption_keys": ["key"]}
    hosts = staticmethod(TestSharded.hosts)


class TestJSON(Settings, ConformanceTestCase):
    """JSON instead of msgpack."""

    options = {"serializer_format": "json"}

    @unittest.skip("JSON carries no byte strings")
    def test_strings(self):
        """See the reason given."""


@pytest.mark.soak
class TestTLS(Settings, ConformanceTestCase):
    """Over TLS with a self-signed certificate."""

    @staticmethod
    def hosts(request):
        server = request.getfixturevalue("tls_server")
        return [{"address": server.url, "ssl_ca_certs": server.ca_file}]


@pytest.mark.soak
class TestSentinel(Settings, ConformanceTestCase):
    """A master found through a Sentinel."""

    @staticmethod
    def hosts(request):
        sentinel = request.getfixturevalue("sentinel")
        return [{"sentinels": sentinel.sentinels, "master_name": sentinel.master_name}]


class TestInMemory(Settings, ConformanceTestCase):
    """Within this process."""

    def make_layer(self, request, prefix, settings):
        return InMemoryChannelLayer(**settings)
