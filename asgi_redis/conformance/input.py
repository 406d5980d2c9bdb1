"""Messages and names that are refused, with an error that helps."""

from __future__ import annotations

import decimal
import re
from collections.abc import Callable
from typing import Any

import pytest

from asgi_redis.conformance.suite import Layer, MakeLayer, Suite

UNSERIALIZABLE = {
    "set": ({"a": {1, 2}}, "message['a']"),
    "Decimal": ({"a": [{"b": decimal.Decimal(1)}]}, "message['a'][0]['b']"),
    "object": ({"a": object()}, "message['a']"),
    "int as a key": ({"a": {7: "b"}}, "message['a']"),
    "int as a key at the top": ({7: "b"}, "7"),
}


def senders(layer: Layer) -> list[Callable[[Any], Any]]:
    """Return all the ways to send a message to the channel ``a``."""
    ways: list[Callable[[Any], Any]] = [lambda message: layer.send("a", message)]
    if "groups" in layer.extensions:
        layer.group_add("g", "a")
        ways.append(lambda message: layer.send_group("g", message))
    return ways


def assert_refused(layer: Layer, message: Any, error: type[Exception], match: str | None = None) -> None:
    """Assert that each way to send raises ``error``, and that the next one works."""
    for send in senders(layer):
        with pytest.raises(error, match=match):
            send(message)
        assert layer.receive(["a"]) == (None, None)
        send({"n": 1})
        assert layer.receive(["a"]) == ("a", {"n": 1})


class InputTests(Suite):
    """Tests of the errors of ``send`` and ``send_group``."""

    def test_the_layer_has_the_errors_as_attributes(self, layer: Layer) -> None:
        """ASGI: ``ChannelFull`` and ``MessageTooLarge`` are attributes of the layer."""
        assert issubclass(layer.ChannelFull, Exception)
        assert issubclass(layer.MessageTooLarge, Exception)

    @pytest.mark.parametrize("message", [None, "text", ["list"], b"bytes", 7, [("a", 1)]])
    def test_a_message_that_is_not_a_dict_is_a_type_error(self, layer: Layer, message: Any) -> None:
        """ASGI: a message must be a dict."""
        assert_refused(layer, message, TypeError)

    @pytest.mark.parametrize(("message", "path"), UNSERIALIZABLE.values(), ids=UNSERIALIZABLE)
    def test_a_value_that_cannot_be_serialised_is_a_type_error_that_names_its_path(
        self, layer: Layer, message: Any, path: str
    ) -> None:
        """Accepted within one process, it would fail on the next layer."""
        assert_refused(layer, message, TypeError, re.escape(path))

    def test_a_message_that_holds_itself_is_a_type_error(self, layer: Layer) -> None:
        """And no ``RecursionError``."""
        message: dict[str, Any] = {}
        message["self"] = message
        assert_refused(layer, message, TypeError)

    def test_the_reserved_key_is_a_value_error(self, layer: Layer) -> None:
        """``__asgi_channel__`` belongs to the wire format."""
        assert_refused(layer, {"__asgi_channel__": "a"}, ValueError, "__asgi_channel__")

    def test_a_message_that_is_too_large_is_refused_with_both_sizes(self, layer_for: MakeLayer) -> None:
        """ASGI: ``MessageTooLarge``. Nothing was sent, not even to a part of a group."""
        layer = layer_for(max_message_bytes=1000)
        assert_refused(layer, {"value": "x" * 2000}, layer.MessageTooLarge, r"\d{4}.*1000")
        for send in senders(layer):
            send({"value": "x" * 500})
            assert layer.receive(["a"]) == ("a", {"value": "x" * 500})

    @pytest.mark.parametrize("name", ["", "two words", "x" * 100, "a!b", "a?b", "é", b"bytes", None, 7])
    def test_a_group_name_that_is_not_valid_is_a_type_error_that_shows_it(
        self, group_layer: Layer, name: Any
    ) -> None:
        """ASGI: as for channels, without ``!`` and ``?``."""
        calls: list[Callable[[], object]] = [
            lambda: group_layer.group_add(name, "a"),
            lambda: group_layer.group_discard(name, "a"),
            lambda: group_layer.group_channels(name),
            lambda: group_layer.send_group(name, {}),
        ]
        for call in calls:
            with pytest.raises(TypeError, match=re.escape(repr(name))):
                call()

    def test_an_option_that_is_not_known_is_a_type_error_that_names_it(self, make_layer: MakeLayer) -> None:
        with pytest.raises(TypeError, match="capasity"):
            make_layer(capasity=5)
