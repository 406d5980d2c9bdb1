"""What cannot be sent is refused with an error that helps, and leaves nothing behind."""

from __future__ import annotations

import decimal
import re
from collections.abc import Callable
from typing import Any

import pytest

from asgi_redis.conformance.suite import Layer, MakeLayer, Suite

CANNOT_TRAVEL = {
    "set": ({"a": {1, 2}}, "message['a']"),
    "Decimal": ({"a": [{"b": decimal.Decimal(1)}]}, "message['a'][0]['b']"),
    "object": ({"a": object()}, "message['a']"),
    "int as a key": ({"a": {7: "b"}}, "message['a']"),
    "int as a key at the top": ({7: "b"}, "7"),
}


def senders(layer: Layer) -> list[Callable[[Any], Any]]:
    """Returns all the ways to send a message to the channel ``a``."""
    ways: list[Callable[[Any], Any]] = [lambda message: layer.send("a", message)]
    if "groups" in layer.extensions:
        layer.group_add("g", "a")
        ways.append(lambda message: layer.send_group("g", message))
    return ways


class InputTests(Suite):
    """The errors of ``send`` and ``send_group``."""

    def test_the_layer_has_the_errors_as_attributes(self, layer: Layer) -> None:
        """ASGI: ``ChannelFull`` and ``MessageTooLarge`` are attributes of the layer."""
        assert issubclass(layer.ChannelFull, Exception)
        assert issubclass(layer.MessageTooLarge, Exception)

    @pytest.mark.parametrize("message", [None, "text", ["list"], b"bytes", 7, [("a", 1)]])
    def test_a_message_that_is_not_a_dict_is_a_type_error(self, layer: Layer, message: Any) -> None:
        """ASGI: a message must be a dict."""
        for send in senders(layer):
            with pytest.raises(TypeError):
                send(message)
        assert layer.receive(["a"]) == (None, None)

    @pytest.mark.parametrize(("message", "path"), CANNOT_TRAVEL.values(), ids=CANNOT_TRAVEL)
    def test_a_value_that_cannot_travel_is_a_type_error_that_names_its_path(
        self, layer: Layer, message: Any, path: str
    ) -> None:
        """A layer that takes it in one process, and not between two, hides the fault until it is deployed."""
        for send in senders(layer):
            with pytest.raises(TypeError, match=re.escape(path)):
                send(message)
        assert layer.receive(["a"]) == (None, None)

    def test_a_message_that_holds_itself_is_a_type_error(self, layer: Layer) -> None:
        """And not a ``RecursionError`` from somewhere within."""
        message: dict[str, Any] = {}
        message["self"] = message
        for send in senders(layer):
            with pytest.raises(TypeError):
                send(message)

    def test_the_reserved_key_is_a_value_error(self, layer: Layer) -> None:
        """``__asgi_channel__`` belongs to the wire format that is shared with channels_redis."""
        for send in senders(layer):
            with pytest.raises(ValueError, match="__asgi_channel__"):
                send({"__asgi_channel__": "a"})
        assert layer.receive(["a"]) == (None, None)

    def test_a_message_that_is_too_large_is_refused_with_both_sizes(self, layer_for: MakeLayer) -> None:
        """ASGI: ``MessageTooLarge``; nothing was sent, also not to part of a group."""
        layer = layer_for(max_message_bytes=1000)
        for send in senders(layer):
            with pytest.raises(layer.MessageTooLarge, match=r"\d{4}.*1000"):
                send({"value": "x" * 2000})
        assert layer.receive(["a"]) == (None, None)
        for send in senders(layer):
            send({"value": "x" * 500})
            assert layer.receive(["a"]) == ("a", {"value": "x" * 500})

    def test_the_layer_works_on_after_every_error(self, layer: Layer) -> None:
        """Bad input never corrupts anything."""
        for send in senders(layer):
            for message in (None, {"a": object()}, {"__asgi_channel__": 1}):
                with pytest.raises((TypeError, ValueError)):
                    send(message)
            send({"n": 1})
            assert layer.receive(["a"]) == ("a", {"n": 1})

    @pytest.mark.parametrize("name", ["", "two words", "x" * 100, "a!b", "a?b", "é", b"bytes", None, 7])
    def test_a_group_name_that_is_not_valid_is_a_type_error_that_shows_it(self, layer: Layer, name: Any) -> None:
        """ASGI: as for channels, without ``!`` and ``?``."""
        self.needs_extension(layer, "groups")
        calls: list[Callable[[], object]] = [
            lambda: layer.group_add(name, "a"),
            lambda: layer.group_discard(name, "a"),
            lambda: layer.group_channels(name),
            lambda: layer.send_group(name, {}),
        ]
        for call in calls:
            with pytest.raises(TypeError, match=re.escape(repr(name))):
                call()

    def test_a_setting_that_is_not_known_is_a_type_error_that_names_it(self, make_layer: MakeLayer) -> None:
        """A mistyped setting must not be ignored."""
        with pytest.raises(TypeError, match="capasity"):
            make_layer(capasity=5)
