"""A message that cannot be sent is refused with the path to the value at fault."""

from __future__ import annotations

import decimal
import enum

import msgpack
import pytest

from asgi_redis.engine.codec import has_only_str_keys, invalid_message
from asgi_redis.exceptions import InvalidMessage


def test_str_keys_are_fine_however_deep():
    assert has_only_str_keys({"a": [{"b": ({"c": b"bytes"},)}], "": {}})


@pytest.mark.parametrize("message", [{1: "a"}, {"a": {None: 1}}, {"a": [({b"b": 1},)]}, {"a": {(1, 2): 3}}])
def test_other_keys_are_found_however_deep(message):
    assert not has_only_str_keys(message)


def test_a_subclass_of_str_is_a_str():
    class Name(str, enum.Enum):
        TEXT = "text"

    assert has_only_str_keys({Name.TEXT: 1})


def nested(depth):
    message = inner = {}
    for _ in range(depth):
        inner["a"] = [{}]
        inner = inner["a"][0]
    return message


def test_a_message_too_deep_to_be_searched_is_not_fine():
    assert not has_only_str_keys(nested(100_000))


@pytest.mark.parametrize(
    ("message", "path"),
    [
        ({"a": {1}}, "message['a'] (set)"),
        ({"a": [0, {"b": decimal.Decimal(1)}]}, "message['a'][1]['b'] (Decimal)"),
        ({"a": (1, 1 << 70)}, "message['a'][1] (int)"),
        ({"a": {"b": {7: "c"}}}, "message['a']['b'] has the key 7: keys must be str, not int"),
        ({"a": "\ud800"}, "message['a'] (str)"),
        ({b"a": 1}, "message has the key b'a'"),
    ],
)
def test_the_error_names_the_path_to_the_value(message, path):
    error = invalid_message(message, msgpack.packb)
    assert isinstance(error, InvalidMessage)
    assert isinstance(error, TypeError)
    assert path in str(error)


def test_a_message_in_itself_is_said_to_be_too_deep():
    message = {}
    message["a"] = message
    assert "nested too deeply, or in itself" in str(invalid_message(message, msgpack.packb))


def test_what_cannot_be_found_is_told_as_it_was_raised():
    assert "no luck" in str(invalid_message({"a": 1}, msgpack.packb, ValueError("no luck")))
