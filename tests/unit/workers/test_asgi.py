from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import pytest

from asgi_redis import InMemoryChannelLayer, RedisChannelLayer, get_channel_layer
from asgi_redis.embedded import RedisServer
from asgi_redis.exceptions import UnsupportedExtension
from asgi_redis.integrations.django import register_layer
from tests.support.waiting import eventually
from tests.support.workers.fakes import FakeLayer
from workers import Group, Message, Worker, asgi, channel_layers, route
from workers.exceptions import ConfigurationError
from workers.operations.registration import Registration


@pytest.fixture(autouse=True)
def _registry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("asgi_redis.integrations.django._registered", {})


def test_a_registered_layer_is_what_its_alias_stands_for() -> None:
    layer = FakeLayer()
    assert register_layer("other", layer) is None
    assert get_channel_layer("other") is layer
    assert Group("g", alias="other").channel_layer is layer
    assert register_layer("other", None) is layer


class Queue:
    """A layer of another project, with the few calls that a worker cannot do without."""

    class ChannelFull(Exception):
        pass

    def __init__(self) -> None:
        self.messages: list[tuple[str, dict[str, Any]]] = []
        self.sent: list[tuple[str, dict[str, Any]]] = []

    def send(self, channel: str, message: dict[str, Any]) -> None:
        self.sent.append((channel, message))

    def reader(self) -> Any:
        return QueueReader(self.messages)


class QueueReader:
    serving = complete = True

    def __init__(self, messages: list[tuple[str, dict[str, Any]]]) -> None:
        self.messages = messages

    def receive_batch(self, channels: Any, limit: int, timeout: float = 0, limits: Any = None) -> list[Any]:
        taken, self.messages[:limit] = self.messages[:limit], []
        return taken

    def unblock(self) -> None:
        pass

    def close(self) -> None:
        pass

    def settle(self, deadline: float) -> bool:
        return True


def test_a_worker_serves_a_foreign_layer_and_its_consumers_get_that_layer() -> None:
    layer: Any = Queue()
    layer.messages += [("any name", {"n": number, "reply_channel": "reply!"}) for number in range(3)]
    seen = []

    def consumer(message: Message) -> None:
        seen.append(message.channel_layer)
        assert message.reply_channel is not None
        message.reply_channel.send({"n": message["n"]})

    assert Worker(layer, {"any name": consumer}, burst=True).run() == 0
    assert seen == [layer] * 3
    assert layer.sent == [("reply!", {"n": number}) for number in range(3)]


def test_the_contract_of_a_foreign_layer_is_that_of_the_base_where_it_has_nothing() -> None:
    layer: Any = Queue()
    foreign = asgi.adapted(layer)
    assert (foreign.crosses_processes, foreign.delayed, foreign.extensions) == (True, None, [])
    assert foreign.undecodable_count is None
    assert foreign.valid_channel_name("any name")
    assert str(foreign) == str(layer)
    foreign.send("a", {"n": 1})
    assert layer.sent == [("a", {"n": 1})]
    with pytest.raises(UnsupportedExtension):
        foreign.flush()
    foreign.close()


def test_what_a_foreign_layer_has_takes_the_place_of_the_base() -> None:
    layer: Any = Queue()
    layer.crosses_processes, layer.extensions, layer.undecodable_count = False, ["groups"], 7
    layer.many_channel_statistics = dict.fromkeys
    foreign = asgi.adapted(layer)
    assert (foreign.crosses_processes, foreign.extensions, foreign.undecodable_count) == (False, ["groups"], 7)
    assert foreign.many_channel_statistics(["a"]) == {"a": None}
    assert foreign.ChannelFull is Queue.ChannelFull


class Wrapper:
    """The wrapper of Channels 1: it is no layer of this package, and has what that has."""

    def __init__(self, layer: RedisChannelLayer) -> None:
        self.channel_layer = layer

    def __getattr__(self, name: str) -> Any:
        return getattr(self.channel_layer, name)


def test_monitors_see_the_worker_of_a_foreign_layer_with_a_registry(redis_server: RedisServer, prefix: str) -> None:
    with RedisChannelLayer(hosts=[redis_server.url], prefix=prefix, stats_prefix=f"{prefix}-meta:") as layer:
        wrapper: Any = Wrapper(layer)
        worker = Worker(wrapper, {"work": print}, hooks=[Registration("thread")])
        running = threading.Thread(target=worker.run)
        running.start()
        (process,) = eventually(layer.registry.processes)
        worker.quiet()
        running.join()
    assert process.report["client_prefix"] == layer.client_prefix


def test_a_layer_of_this_package_is_its_own_contract() -> None:
    layer = InMemoryChannelLayer()
    assert asgi.adapted(layer) is layer


def test_an_object_without_a_reader_cannot_be_received_from() -> None:
    with pytest.raises(ConfigurationError, match="the worker cannot receive from "):
        asgi.adapted(object())


SETTINGS = {
    "default": {
        "BACKEND": "asgi_redis.InMemoryChannelLayer",
        "CONFIG": {"capacity": 5},
        "TEST_CONFIG": {"capacity": 7},
        "ROUTING": [route("a", print)],
    },
    "bare": {"BACKEND": "asgi_redis.InMemoryChannelLayer"},
}


class TestLayersOfTheSettings:
    @pytest.fixture(autouse=True)
    def _settings(self) -> Iterator[None]:
        test = pytest.importorskip("django.test")
        pytest.importorskip("tests.support.workers.project")
        with test.override_settings(CHANNEL_LAYERS=SETTINGS):
            yield

    def test_one_is_the_layer_with_its_routing(self) -> None:
        wrapper = channel_layers["default"]
        assert wrapper is channel_layers["default"]
        assert wrapper.channel_layer is get_channel_layer() is asgi.get_channel_layer()
        assert wrapper.router.channels == {"a"}
        assert (wrapper.alias, wrapper.capacity, wrapper.local_only()) == ("default", 5, True)
        assert str(wrapper) == "default (asgi_redis.layers.memory.InMemoryChannelLayer)"
        assert "default" in channel_layers
        assert "other" not in channel_layers

    def test_a_new_one_is_made_by_its_config_or_test_config(self) -> None:
        made, for_tests = channel_layers.make_backend("default"), channel_layers.make_test_backend("default")
        assert (made.capacity, for_tests.capacity) == (5, 7)
        assert made.channel_layer is not channel_layers["default"].channel_layer
        assert for_tests.router.channels == {"a"}

    def test_what_is_missing_in_the_settings_is_named(self) -> None:
        with pytest.raises(asgi.InvalidChannelLayerError, match="no ROUTING in CHANNEL_LAYERS\\['bare'\\]"):
            channel_layers["bare"]
        with pytest.raises(asgi.InvalidChannelLayerError, match="no TEST_CONFIG in CHANNEL_LAYERS\\['bare'\\]"):
            channel_layers.make_test_backend("bare")
        with pytest.raises(asgi.InvalidChannelLayerError, match="no channel layer 'other'"):
            channel_layers["other"]

    def test_an_alias_can_stand_for_another_one_and_be_set_back(self) -> None:
        of_settings = channel_layers["default"]
        mine = asgi.ChannelLayerWrapper(InMemoryChannelLayer(), "default", [])
        assert channel_layers.set("default", mine) is None
        assert channel_layers["default"] is mine
        assert Group("g").channel_layer is mine.channel_layer
        other = asgi.ChannelLayerWrapper(InMemoryChannelLayer(), "default", [])
        assert channel_layers.set("default", other) is mine
        channel_layers.set("default", None)
        assert channel_layers["default"].channel_layer is of_settings.channel_layer

    def test_a_worker_takes_the_routing_of_its_layer(self) -> None:
        ran = threading.Event()
        wrapper = asgi.ChannelLayerWrapper(InMemoryChannelLayer(), "default", [])
        wrapper.router.add_route(route("b", lambda message: ran.set()))
        wrapper.send("b", {})
        worker = Worker(wrapper)
        assert worker.channels == ["b"]
        thread = threading.Thread(target=worker.run)
        thread.start()
        try:
            assert ran.wait(10)
        finally:
            worker.termed = True
            thread.join(10)
        assert not thread.is_alive()

    def test_a_worker_needs_one(self) -> None:
        with pytest.raises(ConfigurationError, match="a worker needs a routing"):
            Worker(InMemoryChannelLayer())
