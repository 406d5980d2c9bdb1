from __future__ import annotations

from tests.support.workers.fakes import FakeLayer
from workers import Message


def test_a_message_reads_and_writes_like_its_content() -> None:
    message = Message({"a": 1}, "chan", FakeLayer())
    message["b"] = 2
    assert message["a"] == 1
    assert "b" in message
    assert "c" not in message
    assert message.get("c", 3) == 3
    assert message.get("a") == 1
    assert list(message.keys()) == ["a", "b"]
    assert list(message.values()) == [1, 2]
    assert list(message.items()) == [("a", 1), ("b", 2)]
    assert message.content == {"a": 1, "b": 2}


def test_channels_are_on_the_layer_that_the_message_came_from() -> None:
    layer = FakeLayer()
    message = Message({"reply_channel": "reply!x"}, "chan", layer)
    assert message.channel.name == "chan"
    assert message.reply_channel is not None
    assert message.reply_channel.name == "reply!x"
    assert message.reply_channel.channel_layer is layer
    assert message.channel_layer is layer


def test_without_reply_channel_it_is_none() -> None:
    assert Message({}, "chan", FakeLayer()).reply_channel is None


def test_changing_a_copy_leaves_the_message_alone() -> None:
    message = Message({"deep": {"list": [1]}}, "chan", FakeLayer())
    copy = message.copy()
    copy["deep"]["list"].append(2)
    assert message["deep"] == {"list": [1]}
    assert copy.channel.name == "chan"
    assert copy.channel_layer is message.channel_layer
