"""Messages as bytes and back: what is refused before a send, and what is dropped at a receive."""

from __future__ import annotations

import decimal
import enum

import msgpack
import pytest

from asgi_redis.engine.codec import MessageDecoder, MessageEncoder, has_only_str_keys
from asgi_redis.exceptions import InvalidMessage, MessageTooLarge
from asgi_redis.serializers import JSONSerializer, MsgPackSerializer


@pytest.fixture
def encoder():
    return MessageEncoder(MsgPackSerializer(), 1000)


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
def test_the_error_names_the_path_to_the_value(encoder, message, path):
    with pytest.raises(InvalidMessage) as raised:
        encoder.encode(message)
    assert isinstance(raised.value, TypeError)
    assert path in str(raised.value)


def test_a_message_in_itself_is_said_to_be_too_deep(encoder):
    message = {}
    message["a"] = message
    with pytest.raises(InvalidMessage, match="nested too deeply, or in itself"):
        encoder.encode(message)


def test_an_error_that_no_single_value_causes_is_told_as_it_was_raised():
    class Picky(JSONSerializer):
        def as_bytes(self, message, *args, **kwargs):
            if "a" in message:
                raise ValueError("no luck")
            return super().as_bytes(message, *args, **kwargs)

    with pytest.raises(InvalidMessage, match="no luck"):
        MessageEncoder(Picky(), 100).encode({"a": 1})


@pytest.mark.parametrize("prefix_length", [0, 12])
def test_a_message_may_have_as_many_bytes_as_the_limit_without_the_prefix(prefix_length):
    serializer = MsgPackSerializer(random_prefix_length=prefix_length)
    encoder = MessageEncoder(serializer, 50, prefix_length)
    assert len(encoder.encode({"text": "x" * 42})) == 50 + prefix_length
    with pytest.raises(MessageTooLarge, match="51 bytes when serialised, max_message_bytes is 50"):
        encoder.encode({"text": "x" * 43})


def test_an_entry_of_a_process_local_channel_names_it(encoder):
    decoder = MessageDecoder(MsgPackSerializer())
    assert decoder.decode(encoder.encode_for("p!x", {"a": 1})) == {"a": 1, "__asgi_channel__": "p!x"}
    assert decoder.decode(encoder.encode_for("work", {"a": 1})) == {"a": 1}
    assert decoder.decode(encoder.encode_for_group([b"p!x", b"p!y"], {})) == {"__asgi_channel__": ["p!x", "p!y"]}


@pytest.mark.parametrize("options", [{}, {"random_prefix_length": 12}, {"symmetric_encryption_keys": ["key"]}])
def test_what_was_encoded_is_decoded(options):
    serializer = MsgPackSerializer(**options)
    encoder = MessageEncoder(serializer, 1000, options.get("random_prefix_length", 0))
    assert MessageDecoder(serializer).decode_or_drop("c", encoder.encode({"a": b"1"})) == {"a": b"1"}


@pytest.mark.parametrize("entry", [b"", b"\xc1secret", *map(msgpack.packb, (["secret"], "secret", None))])
def test_anything_else_is_dropped_counted_and_logged_without_its_content(entry, caplog):
    decoder = MessageDecoder(MsgPackSerializer())
    assert decoder.decode_all([("work", entry), ("chat", msgpack.packb({"a": 1}))]) == [("chat", {"a": 1})]
    assert decoder.undecodable_count == 1
    assert "on channel 'work' that cannot be decoded" in caplog.text
    assert "secret" not in caplog.text
