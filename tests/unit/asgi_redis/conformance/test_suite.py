"""This project's own suite, ``asgi_redis.conformance``, against every layer."""

from __future__ import annotations

import functools
import re
import subprocess
import sys
from pathlib import Path

import pytest

from asgi_redis import InMemoryChannelLayer, RedisChannelLayer
from asgi_redis.conformance import ChannelLayerConformance
from asgi_redis.conformance.suite import Suite
from tests.support.broken_layers import FOUND_BY


class TestInMemory(ChannelLayerConformance):
    @pytest.fixture
    def make_layer(self):
        return InMemoryChannelLayer


@pytest.mark.soak
class TestInMemoryJSON(TestInMemory):
    carries_bytes = False

    @pytest.fixture
    def make_layer(self):
        return functools.partial(InMemoryChannelLayer, serializer_format="json")


class TestRedis(ChannelLayerConformance):
    options = {}

    @pytest.fixture
    def make_layer(self, redis_server, prefix):
        return self.making(prefix, redis_server)

    def making(self, prefix, *servers):
        hosts = [server.url for server in servers]
        return functools.partial(
            RedisChannelLayer, hosts=hosts, prefix=prefix, stats_prefix=f"{prefix}-meta:", **self.options
        )


@pytest.mark.soak
class TestRedisEncrypted(TestRedis):
    options = {"symmetric_encryption_keys": ["new", "old"]}


class TestRedisSharded(TestRedis):
    in_one_place = False

    @pytest.fixture
    def make_layer(self, three_redis_servers, prefix):
        return self.making(prefix, *three_redis_servers)


class TestTheSuiteItself:
    @pytest.mark.timeout(180)  # it is a run of many tests
    def test_it_rejects_layers_with_a_fault_and_no_other(self):
        """Each fault is found by the test that is for it: see ``broken_layers``."""
        # One kind of channel is enough for that: it is the same code for all of them.
        chosen = f"({' or '.join(set(FOUND_BY.values()))}) and not own and not reply"
        tests = ["-k", chosen, "tests/support/broken_layers.py"]
        ended = subprocess.run(
            [sys.executable, "-m", "pytest", "-q", "-rA", "--tb=no", "-p", "no:xdist", *tests],
            capture_output=True,
            text=True,
            cwd=Path(__file__).parents[4],
        )
        layers = {layer.__name__ for layer in FOUND_BY}
        outcomes = {"PASSED": set(), "FAILED": set(), "ERROR": set()}
        for outcome, parameters in re.findall(r"^(PASSED|FAILED|ERROR) .+?\[(.*?)\]", ended.stdout, re.M):
            outcomes[outcome] |= layers.intersection(re.findall(r"\w+", parameters))
        assert outcomes["FAILED"] == layers - {"Sound"}, ended.stdout + ended.stderr
        assert "Sound" in outcomes["PASSED"]
        assert not outcomes["ERROR"]

    def test_it_asks_for_make_layer(self):
        with pytest.raises(NotImplementedError, match="needs a fixture make_layer"):
            ChannelLayerConformance.make_layer.__wrapped__(ChannelLayerConformance())


def test_the_docstring_of_the_suite_says_what_each_attribute_means():
    attributes = [name for name, value in vars(Suite).items() if not callable(value) and not name.startswith("_")]
    assert "crosses_processes" in attributes
    assert [name for name in attributes if f"``{name}``: " not in Suite.__doc__] == []
