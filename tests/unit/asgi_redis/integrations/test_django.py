from __future__ import annotations

import subprocess
import sys
import threading
from typing import Any

import pytest

from asgi_redis import RedisChannelLayer, get_channel_layer
from asgi_redis.exceptions import ChannelLayerError, ConfigurationError, InvalidChannelLayerError
from tests.support.clusters import Cluster

pytest.importorskip("django")

from django.conf import settings
from django.test import override_settings

HOSTS = {"hosts": ["redis://127.0.0.1:1"]}


class Blocking:
    """A back end that is slow to make."""

    made = 0
    may_be_made = threading.Event()

    def __init__(self) -> None:
        type(self).made += 1
        self.may_be_made.wait(5)


class Asynchronous:
    async def send(self, channel: str, message: dict[str, Any]) -> None:
        pass


@pytest.fixture(autouse=True, scope="module")
def _django() -> None:
    if not settings.configured:
        settings.configure()


def layers(**options: Any) -> Any:
    return override_settings(CHANNEL_LAYERS={"default": options})


def test_the_layer_is_made_from_the_settings_once_for_each_alias() -> None:
    ours = {"BACKEND": "asgi_redis.RedisChannelLayer", "ROUTING": "is.for.the.worker"}
    both = {
        "default": {**ours, "CONFIG": {**HOSTS, "prefix": "one"}},
        "other": {**ours, "CONFIG": {**HOSTS, "prefix": "two"}},
    }
    with override_settings(CHANNEL_LAYERS=both):
        layer = get_channel_layer()
        assert isinstance(layer, RedisChannelLayer)
        assert layer.prefix == "one"
        assert get_channel_layer("default") is layer
        assert get_channel_layer("other").prefix == "two"


CLUSTER = "asgi_redis.RedisClusterChannelLayer"
MEMORY = {"BACKEND": "asgi_redis.InMemoryChannelLayer"}


@pytest.mark.parametrize(
    ("path", "config", "text"),
    [
        (CLUSTER, {}, "RedisClusterChannelLayer({})"),
        (
            "asgi_redis.RedisLocalChannelLayer",
            {"local_layer": MEMORY},
            "RedisLocalChannelLayer({}, local_layer=InMemoryChannelLayer())",
        ),
    ],
)
def test_the_settings_may_name_a_cluster(
    path: str, config: Any, text: str, single_node_cluster: Cluster, prefix: str
) -> None:
    config = {"hosts": single_node_cluster.urls, "shards": 4, "prefix": prefix, **config}
    around = {"BACKEND": "asgi_redis.aio.AsyncChannelLayer", "CONFIG": {"layer": {"BACKEND": path, "CONFIG": config}}}
    for options in ({"BACKEND": path, "CONFIG": config}, around):
        with layers(**options):
            layer = get_channel_layer()
        assert str(layer) == text.format(f"hosts=[{single_node_cluster.urls[0]}], shards=4")
        layer.send("mine!1", {"n": 1})
        assert layer.receive(["mine!"]) == ("mine!1", {"n": 1})
        layer.close()


def test_the_layer_of_asyncio_over_a_cluster_stands_for_the_one_within_it(
    single_node_cluster: Cluster, prefix: str
) -> None:
    config = {"hosts": single_node_cluster.urls, "shards": 4, "prefix": prefix, "group_lease": 60}
    with layers(BACKEND="asgi_redis.aio.RedisClusterChannelLayer", CONFIG=config):
        layer = get_channel_layer()
        assert type(layer).__name__ == "RedisClusterChannelLayer"
        layer.send("mine!1", {"n": 1})
        assert layer.receive(["mine!"]) == ("mine!1", {"n": 1})
        layer.close()


def test_a_cluster_without_shards_is_an_error_of_the_settings() -> None:
    with layers(BACKEND=CLUSTER, CONFIG=HOSTS), pytest.raises(ConfigurationError, match="shards is missing"):
        get_channel_layer()


def test_changed_settings_make_a_new_layer() -> None:
    with layers(BACKEND="asgi_redis.RedisChannelLayer", CONFIG={"prefix": "one"}):
        before = get_channel_layer()
    with layers(BACKEND="asgi_redis.RedisChannelLayer", CONFIG={"prefix": "two"}):
        assert get_channel_layer().prefix == "two"
    with layers(BACKEND="asgi_redis.RedisChannelLayer", CONFIG={"prefix": "one"}):
        assert get_channel_layer() is not before
        with override_settings(DEBUG=True):
            same = get_channel_layer()
        assert get_channel_layer() is same


def test_the_path_of_channels_redis_stands_for_our_layer_with_the_same_config() -> None:
    config = {**HOSTS, "prefix": "p", "symmetric_encryption_keys": ["secret"], "capacity": 7, "expiry": 9}
    with layers(BACKEND="channels_redis.core.RedisChannelLayer", CONFIG=config):
        layer = get_channel_layer()
    assert type(layer) is RedisChannelLayer
    assert (layer.prefix, layer.capacity, layer.expiry) == ("p", 7, 9)


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        ({}, "'default'.* has no BACKEND"),
        ({"BACKEND": "no.such.Layer"}, "cannot import the BACKEND 'no.such.Layer'.*No module named 'no'"),
        ({"BACKEND": "asgi_redis.NoSuchLayer"}, "cannot import the BACKEND 'asgi_redis.NoSuchLayer'"),
        ({"BACKEND": "nodot"}, "cannot import the BACKEND 'nodot'"),
        ({"BACKEND": f"{__name__}.Asynchronous"}, "is asynchronous"),
    ],
)
def test_a_layer_that_cannot_be_had_is_named(options: dict[str, Any], complaint: str) -> None:
    with layers(**options), pytest.raises(InvalidChannelLayerError, match=complaint) as caught:
        get_channel_layer()
    assert isinstance(caught.value, (ChannelLayerError, ValueError))


def test_an_unknown_alias_is_named_beside_the_known_ones() -> None:
    with layers(BACKEND="x"), pytest.raises(InvalidChannelLayerError, match=r"'chat'.*it has 'default'"):
        get_channel_layer("chat")


def test_settings_without_channel_layers_are_named() -> None:
    with override_settings(CHANNEL_LAYERS={}), pytest.raises(InvalidChannelLayerError, match="it has none"):
        get_channel_layer()


def test_what_the_layer_says_about_its_config_passes_through() -> None:
    wrong = layers(BACKEND="asgi_redis.RedisChannelLayer", CONFIG={"expirey": 1})
    with wrong, pytest.raises(TypeError, match="expirey"):
        get_channel_layer()


def test_threads_that_ask_at_once_get_the_same_layer() -> None:
    with layers(BACKEND=f"{__name__}.Blocking"):
        got: list[object] = []
        threads = [threading.Thread(target=lambda: got.append(get_channel_layer())) for _ in range(4)]
        for thread in threads:
            thread.start()
        Blocking.may_be_made.set()
        for thread in threads:
            thread.join()
    assert Blocking.made == 1
    assert len({id(layer) for layer in got}) == 1


def test_importing_does_not_need_django_and_calling_says_that_it_does() -> None:
    script = """
import sys
sys.modules["django"] = None  # as if it were not installed
import asgi_redis
try:
    asgi_redis.get_channel_layer()
except ValueError as error:
    print(type(error).__name__, error)
"""
    said = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout
    assert said.startswith("InvalidChannelLayerError")
    assert 'pip install "asgi_redis[django]"' in said
