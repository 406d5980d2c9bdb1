"""The channels that an entry of a queue is for, and its message."""

from __future__ import annotations

import copy
import json
from types import SimpleNamespace

import pytest

from asgi_redis.engine.unpacker import Unpacker, decode_entry
from asgi_redis.exceptions import UndecodableMessage
from asgi_redis.wire import Taken


def decoder(decode, encode=None):
    return SimpleNamespace(payload=bytes, decode=decode, encode=encode)


def decoder_of(message):
    return decoder(lambda payload: copy.deepcopy(message))


def unpack(queue, message):
    unpacked = decode_entry(decoder_of(message), Taken(queue, b"member", 0.0, b"1"))
    assert unpacked[3] == b"member"
    return unpacked[:3]


def test_a_message_of_a_normal_channel_is_for_that_channel():
    assert unpack(b"work", {"text": "hello"}) == ("work", ["work"], {"text": "hello"})


def test_a_normal_channels_message_is_for_it_whatever_the_group_wrote_into_it():
    assert unpack(b"work", {"__asgi_channel__": ["work", "other"]}) == ("work", ["work"], {})


def test_a_process_local_message_names_its_channel():
    assert unpack(b"q!", {"a": 1, "__asgi_channel__": "q!x"}) == ("q!", ["q!x"], {"a": 1})


def test_a_groups_message_names_all_its_channels():
    assert unpack(b"q!", {"__asgi_channel__": ["q!x", "q!y"]}) == ("q!", ["q!x", "q!y"], {})


@pytest.mark.parametrize(
    "message",
    [
        {"__asgi_channel__": []},
        {"__asgi_channel__": 7},
        {"__asgi_channel__": [b"q!x"]},
        {"__asgi_channel__": {"q!x": 1}},
        {"__asgi_channel__": "secret!x"},
        {"__asgi_channel__": ["q!x", "secret!x"]},
        {"__asgi_channel__": "q!x\nsecret"},
        {"__asgi_channel__": ["q!x", "q!\x1b[31msecret"]},
        {"__asgi_channel__": ["q!x", "q!secret" + "x" * 100]},
        {"__asgi_channel__": "q!x?secret"},
    ],
)
def test_garbage_is_undecodable_and_its_content_is_not_in_the_error(message):
    with pytest.raises(UndecodableMessage) as raised:
        unpack(b"q!", message)
    assert "secret" not in str(raised.value)


def test_a_channel_that_is_named_again_and_again_is_for_it_once():
    assert unpack(b"q!", {"__asgi_channel__": ["q!x", "q!y"] * 1000}) == ("q!", ["q!x", "q!y"], {})


def test_the_payload_makes_the_same_message_again_each_time_a_new_one():
    one = decoder_of({"list": [1], "__asgi_channel__": ["q!x", "q!y"]})
    _, _, message, payload = decode_entry(one, Taken(b"q!", b"", 0.0, b"1"))
    again = Unpacker(one, 60, lambda: None, lambda queue, number: None).message(payload)
    assert again == message == {"list": [1]}
    assert again["list"] is not message["list"]


def test_what_the_serialiser_raises_is_left_to_the_caller():
    def fail(member):
        raise KeyError("whatever")

    with pytest.raises(KeyError):
        decode_entry(decoder(fail), Taken(b"work", b"", 0.0, b"1"))


def test_the_payload_of_a_message_for_many_has_no_names_in_it():
    names = [f"p!{number}" for number in range(20)]
    message = {"text": "x", "__asgi_channel__": names}
    one = decoder(json.loads, lambda message: json.dumps(message).encode())
    taken = Taken(b"p!", json.dumps(message).encode(), 0.0, b"1")
    assert decode_entry(one, taken) == ("p!", names, {"text": "x"}, b'{"text": "x"}')
    large = json.dumps({**message, "text": "x" * 1000}).encode()
    assert decode_entry(one, taken._replace(member=large))[3] == large, "not worth it"
    few = json.dumps({**message, "__asgi_channel__": names[:3]}).encode()
    assert decode_entry(one, taken._replace(member=few))[3] == few
