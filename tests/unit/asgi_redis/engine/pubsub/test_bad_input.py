"""Bad arguments, and their error messages."""

from __future__ import annotations

import decimal

import pytest

from asgi_redis import MessageTooLarge, RedisPubSubChannelLayer

CALLS = {
    "send": lambda layer, name: layer.send(name, {}),
    "receive": lambda layer, name: layer.receive([name]),
    "receive_batch": lambda layer, name: layer.receive_batch([name], 1),
    "reader": lambda layer, name: layer.reader().receive_batch([name], 1),
    "close_channel": lambda layer, name: layer.close_channel(name),
    "group_add": lambda layer, name: layer.group_add("chat", name),
    "group_discard": lambda layer, name: layer.group_discard("chat", name),
    "group_add to": lambda layer, name: layer.group_add(name, "work"),
    "group_discard from": lambda layer, name: layer.group_discard(name, "work"),
    "send_group": lambda layer, name: layer.send_group(name, {}),
    "send_group without": lambda layer, name: layer.send_group("chat", {}, exclude=[name]),
    "group_channels": lambda layer, name: layer.group_channels(name),
    "group_count": lambda layer, name: layer.group_count(name),
}


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("name", ["two words", "x" * 100, "a!b!c", "é", "", b"bytes", None, 7, ["list"]])
def test_a_name_that_is_not_valid_is_a_type_error_that_shows_it(layer, call, name):
    with pytest.raises(TypeError) as raised:
        CALLS[call](layer, name)
    assert repr(name) in str(raised.value)
    assert not layer.subscriptions.inboxes


def test_the_prefix_of_a_channel_may_hold_anything_and_the_rest_may_not(pubsub_layer_for, redis_server, prefix):
    prefix = f"{prefix}: £/"
    layer = pubsub_layer_for(redis_server, prefix=prefix)
    channel = layer.new_channel()
    layer.send(channel, {"n": 1})
    assert layer.receive([channel], block=True) == (channel, {"n": 1})
    for name in (f"{prefix}two words", prefix, f"{prefix}{'x' * 100}"):
        with pytest.raises(TypeError) as raised:
            layer.send(name, {})
        assert repr(name) in str(raised.value)


def test_the_name_of_a_group_is_no_channel(layer, prefix):
    with pytest.raises(TypeError, match="a group is published under it"):
        layer.receive([f"{prefix}__group__chat"])


def test_a_part_of_a_name_cannot_be_received_from(layer):
    with pytest.raises(TypeError, match="'p!' cannot be received from: pub/sub has whole names only"):
        layer.receive(["p!"])


@pytest.mark.parametrize("pattern", [None, 7, b"bytes", "two words", "x" * 70])
def test_a_pattern_of_a_new_channel_that_cannot_be(layer, pattern):
    with pytest.raises(TypeError):
        layer.new_channel(pattern)


def test_a_bare_name_is_no_list_and_a_limit_is_at_least_1(layer):
    with pytest.raises(TypeError, match="channels must be a list of names, not the str 'work'"):
        layer.receive("work")
    with pytest.raises(ValueError, match="limit must be 1 message or more"):
        layer.receive_batch(["work"], 0)


@pytest.mark.parametrize(
    ("message", "error", "says"),
    [
        (None, TypeError, "a message must be a dict"),
        (["list"], TypeError, "a message must be a dict"),
        ({"a": {1, 2}}, TypeError, r"message\['a'\] \(set\)"),
        ({"a": [{"b": decimal.Decimal(1)}]}, TypeError, r"message\['a'\]\[0\]\['b'\] \(Decimal\)"),
        ({"a": {7: "b"}}, TypeError, r"message\['a'\] has the key 7"),
        ({"__asgi_channel__": "x"}, ValueError, "'__asgi_channel__'"),
        ({"a": "x" * 2000}, MessageTooLarge, "the message has 20.. bytes when serialised, max_message_bytes is 1000"),
    ],
)
def test_a_message_that_cannot_be_sent(pubsub_layer_for, redis_server, message, error, says):
    layer = pubsub_layer_for(redis_server, max_message_bytes=1000)
    for call in (lambda: layer.send("work", message), lambda: layer.send_group("chat", message)):
        with pytest.raises(error, match=says):
            call()


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"hosts": "redis://localhost"}, "hosts must be a list"),
        ({"hosts": ["http://localhost"]}, "unknown scheme"),
        ({"prefix": 7}, "prefix must be a str, not 7"),
        ({"on_disconnect": {"type": "x"}}, "on_disconnect must be the type of a message, a str"),
        ({"on_reconnect": 7}, "on_reconnect must be the type of a message, a str, not 7"),
        ({"capacity": 0}, "capacity must be a whole number"),
        ({"expiry": 0}, "expiry must be a number of seconds above 0"),
        ({"max_message_bytes": "1"}, "max_message_bytes must be a number of bytes"),
        ({"symmetric_encryption_keys": "abc"}, "symmetric_encryption_keys must be a list"),
        ({"connection_kwargs": 7}, "connection_kwargs must be a dict"),
    ],
)
def test_a_setting_that_cannot_work_is_a_value_error(settings, says):
    with pytest.raises(ValueError, match=says):
        RedisPubSubChannelLayer(**settings)


def test_a_setting_that_is_not_known_is_shown_with_the_nearest_that_is():
    with pytest.raises(TypeError, match="no setting 'on_reconect'; did you mean 'on_reconnect'"):
        RedisPubSubChannelLayer(on_reconect="x")


def test_what_it_can_do_and_is_called_has_no_secrets():
    layer = RedisPubSubChannelLayer(hosts=["redis://user:secret@localhost:1/0"])
    assert layer.extensions == ["groups", "flush"]
    assert str(layer) == "RedisPubSubChannelLayer(hosts=[redis://localhost:1/0])"
    assert layer.deserialize(layer.serialize({"a": 1})) == {"a": 1}
    layer.close()
