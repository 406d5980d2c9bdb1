"""The message of a group is decoded once or twice, and each channel has it for itself."""

from __future__ import annotations

import pytest

from asgi_redis.engine.pubsub.group_decoder import GroupDecoder
from asgi_redis.serializers import registry
from asgi_redis.wire.pubsub import EXCLUDE_KEY

FLAT = {"type": "chat.message", "n": 1, "bytes": b"\xff", "none": None, "yes": True, "half": 0.5}
NESTED = {"type": "chat.message", "list": [1, {"a": []}], "dict": {"b": [2]}}


@pytest.fixture
def serializer():
    return registry.get_serializer("msgpack", symmetric_encryption_keys=["key"])


@pytest.fixture
def decoder(serializer, monkeypatch):
    """``decoder.decoded`` are the payloads that it has decoded."""
    made = GroupDecoder(serializer)
    made.decoded = []
    decode = made.decode
    monkeypatch.setattr(made, "decode", lambda payload: made.decoded.append(payload) or decode(payload))
    return made


def test_a_message_of_plain_values_is_decoded_twice_at_most(decoder, serializer):
    entry = serializer.serialize(FLAT)
    assert [decoder.decode_or_drop(f"channel.{n}", entry) for n in range(10)] == [FLAT] * 10
    assert len(decoder.decoded) <= 2


@pytest.mark.parametrize("message", [FLAT, NESTED], ids=["flat", "nested"])
def test_what_one_channel_changes_shows_in_no_other(decoder, serializer, message):
    entry = serializer.serialize(message)
    for n in range(5):
        received = decoder.decode_or_drop(f"channel.{n}", entry)
        assert received == message
        for value in received.values():
            if isinstance(value, (list, dict)):
                value.clear()
        received["type"] = "changed"
        received.pop("n", None)


def test_messages_of_several_channels_by_turns(decoder, serializer):
    entries = [serializer.serialize({**FLAT, "n": n}) for n in range(3)]
    for _ in range(3):
        assert [decoder.decode_or_drop("channel", entry)["n"] for entry in entries] == [0, 1, 2]


def test_excluded_channels_are_left_out_each_time(decoder, serializer):
    entry = serializer.serialize({**FLAT, EXCLUDE_KEY: ["b"]})
    received = [decoder.decode_or_drop(channel, entry) for channel in "abcab"]
    assert received == [FLAT, None, FLAT, FLAT, None]


def test_what_cannot_be_decoded_is_dropped_and_counted_for_each_channel(decoder):
    assert [decoder.decode_or_drop(channel, b"\xc1garbage") for channel in "abc"] == [None] * 3
    assert decoder.undecodable_count == 3
