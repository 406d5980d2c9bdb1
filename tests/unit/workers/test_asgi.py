from __future__ import annotations

from typing import Any

import pytest

from asgi_redis import InMemoryChannelLayer
from asgi_redis.exceptions import UnsupportedExtension
from tests.support.workers.fakes import FakeLayer
from workers import Group, Message, Worker, asgi
from workers.exceptions import ConfigurationError


@pytest.fixture(autouse=True)
def _registry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(asgi, "_registered", {})


def test_a_registered_layer_is_what_its_alias_stands_for() -> None:
    layer = FakeLayer()
    asgi.register_layer("other", layer)
    assert asgi.layer_for("other") is layer
    assert Group("g", alias="other").channel_layer is layer


def test_other_aliases_are_looked_up_in_djangos_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = pytest.importorskip("asgi_redis.integrations.django")
    layer = FakeLayer()
    monkeypatch.setattr(settings, "get_channel_layer", {"default": layer}.__getitem__)
    assert Group("g").channel_layer is layer


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


def test_a_layer_of_this_package_is_its_own_contract() -> None:
    layer = InMemoryChannelLayer()
    assert asgi.adapted(layer) is layer


def test_an_object_without_a_reader_cannot_be_received_from() -> None:
    with pytest.raises(ConfigurationError, match="the worker cannot receive from "):
        asgi.adapted(object())
