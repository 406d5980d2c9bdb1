"""Messages arrive as they were sent."""

from __future__ import annotations

import math
from typing import Any

import pytest

from asgi_redis.conformance.suite import KINDS, Layer, Suite, each_kind

VALUES: list[Any] = [
    None,
    True,
    False,
    0,
    -1,
    127,
    128,
    -(1 << 63),
    (1 << 63) - 1,
    0.0,
    -1.5,
    1e300,
    "",
    "text",
    "\u00a3 \U0001f612 \x00",
    "long" * 20_000,
    [],
    [1, "two", [3.0, [None]]],
    list(range(1000)),
    {},
    {"a": {"b": {"c": [{"d": 1}]}}},
    {str(number): number for number in range(1000)},
]
BYTES: list[Any] = [b"", b"\xc2\xa3", bytes(range(256)), b"x" * 100_000, {"a": [b"b", "b"]}]


class MessageTests(Suite):
    """Tests that a received message is a copy of the sent message."""

    @pytest.mark.parametrize("value", VALUES, ids=lambda value: f"{value!r:.20}")
    def test_every_type_of_value_arrives_as_it_was_sent(self, layer: Layer, value: Any) -> None:
        """ASGI: str, int, float, None, bool, lists and dicts of these, with str keys."""
        layer.send("a", {"value": value})
        _, message = layer.receive(["a"])
        assert message == {"value": value}
        assert type(message["value"]) is type(value)

    @pytest.mark.parametrize("value", BYTES, ids=lambda value: f"{value!r:.20}")
    def test_byte_strings_stay_byte_strings(self, layer: Layer, value: Any) -> None:
        """ASGI: byte strings and unicode strings are kept apart."""
        self.needs("carries_bytes")
        layer.send("a", {"value": value})
        assert layer.receive(["a"]) == ("a", {"value": value})

    def test_infinity_and_not_a_number_arrive(self, layer: Layer) -> None:
        layer.send("a", {"values": [math.inf, -math.inf, math.nan]})
        _, message = layer.receive(["a"])
        assert message["values"][:2] == [math.inf, -math.inf]
        assert math.isnan(message["values"][2])

    def test_a_tuple_arrives_as_a_list(self, layer: Layer) -> None:
        """ASGI has lists only, also within one process."""
        layer.send("a", {"value": (1, (2,))})
        assert layer.receive(["a"]) == ("a", {"value": [1, [2]]})

    def test_a_message_of_a_megabyte_arrives(self, layer: Layer) -> None:
        """ASGI asks layers to carry at least 1 MB."""
        layer.send("a", {"value": "x" * (1 << 20)})
        _, message = layer.receive(["a"])
        assert message == {"value": "x" * (1 << 20)}, "the message is another one"

    @each_kind
    def test_sending_neither_changes_nor_keeps_the_senders_object(
        self, layer: Layer, channel: str, read: str
    ) -> None:
        """As asgiref 1.1.2, ``test_message_alteration_after_send``."""
        message: dict[str, Any] = {"value": [1, {"b": 2}]}
        layer.send(channel, message)
        assert message == {"value": [1, {"b": 2}]}
        message["value"][1]["b"] = 3
        message["more"] = True
        assert layer.receive([read]) == (channel, {"value": [1, {"b": 2}]}), "the layer has kept the sender's object"

    @pytest.mark.parametrize("members", [["a", "b"], ["own!a", "own!b"]], ids=["normal", "process-local"])
    def test_members_of_a_group_get_a_copy_each(self, group_layer: Layer, members: list[str]) -> None:
        """A consumer may change its message."""
        message: dict[str, Any] = {"value": [1]}
        for member in members:
            group_layer.group_add("g", member)
        group_layer.send_group("g", message)
        message["value"].append(2)
        read = sorted({member.partition("!")[0] + "!" * ("!" in member) for member in members})
        received = [group_layer.receive(read) for _ in members]
        for channel, got in received:
            assert got == {"value": [1]}, f"{channel} got an object that another reader or the sender holds"
            got["value"].append(3)

    def test_the_layer_adds_nothing_to_a_message_to_a_group(self, group_layer: Layer) -> None:
        for member in KINDS:
            group_layer.group_add("g", member)
        group_layer.send_group("g", {"value": 1})
        received = dict(group_layer.receive([read]) for read in KINDS.values())
        assert received == {name: {"value": 1} for name in KINDS}
