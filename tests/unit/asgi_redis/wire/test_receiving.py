"""Which queues a receive looks into and in which order, and whom a message is for."""

from __future__ import annotations

import copy
import json

import pytest

from asgi_redis.exceptions import UndecodableMessage
from asgi_redis.wire import ChannelSet, Keys, Taken, Unpacker, shard_of

KEYS = Keys("p:", "s:")


def turns(channels, shards, count):
    reading = ChannelSet(channels, KEYS, shards)
    return [list(reading.turn()) for _ in range(count)]


def test_on_one_shard_each_queue_comes_first_in_turn():
    firsts = [turn[0][1][0] for turn in turns(["a", "b", "c"], 1, 6)]
    assert sorted(firsts[:3]) == [b"p:a", b"p:b", b"p:c"]
    assert firsts[3:] == firsts[:3]


def test_who_comes_with_other_channels_each_time_does_not_always_begin_with_the_first():
    firsts = {turns(["a", "b"], 1, 1)[0][0][1][0] for _ in range(100)}
    assert firsts == {b"p:a", b"p:b"}


def test_every_turn_has_every_queue_once():
    for ((_, keys),) in turns(["a", "b", "c"], 1, 3):
        assert sorted(keys) == [b"p:a", b"p:b", b"p:c"]


def test_a_channel_that_is_given_twice_is_read_once():
    (((shard, keys),),) = turns(["a", "b", "a"], 1, 1)
    assert (shard, sorted(keys)) == (0, [b"p:a", b"p:b"])


def test_a_normal_channel_is_looked_for_on_all_shards():
    assert sorted(turns(["work"], 3, 1)[0]) == [(shard, [b"p:work"]) for shard in range(3)]


@pytest.mark.parametrize("name", ["specific.ab!", "reply?xyz"])
def test_process_local_and_single_reader_channels_are_looked_for_on_their_shard_only(name):
    assert turns([name], 3, 1) == [[(shard_of(name.encode(), 3), [b"p:" + name.encode()])]]


def test_each_shard_and_on_each_shard_each_queue_comes_first_in_turn():
    firsts = {(turn[0][0], turn[0][1][0]) for turn in turns(["a", "b"], 3, 6)}
    assert firsts == {(shard, key) for shard in range(3) for key in (b"p:a", b"p:b")}


def unpacker_of(message):
    return Unpacker(KEYS, bytes, lambda payload: copy.deepcopy(message))


def unpack(key, message):
    unpacked = unpacker_of(message)(Taken(key, b"member", 0.0, b"1"))
    assert unpacked[3] == b"member"
    return unpacked[:3]


def test_a_message_of_a_normal_channel_is_for_that_channel():
    assert unpack(b"p:work", {"text": "hello"}) == ("work", ["work"], {"text": "hello"})


def test_a_normal_channels_message_is_for_it_whatever_the_group_wrote_into_it():
    assert unpack(b"p:work", {"__asgi_channel__": ["work", "other"]}) == ("work", ["work"], {})


def test_a_process_local_message_names_its_channel():
    assert unpack(b"p:q!", {"a": 1, "__asgi_channel__": "q!x"}) == ("q!", ["q!x"], {"a": 1})


def test_a_groups_message_names_all_its_channels():
    assert unpack(b"p:q!", {"__asgi_channel__": ["q!x", "q!y"]}) == ("q!", ["q!x", "q!y"], {})


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
        unpack(b"p:q!", message)
    assert "secret" not in str(raised.value)


def test_a_channel_that_is_named_again_and_again_is_for_it_once():
    assert unpack(b"p:q!", {"__asgi_channel__": ["q!x", "q!y"] * 1000}) == ("q!", ["q!x", "q!y"], {})


def test_the_payload_makes_the_same_message_again_each_time_a_new_one():
    unpacker = unpacker_of({"list": [1], "__asgi_channel__": ["q!x", "q!y"]})
    _, _, message, payload = unpacker(Taken(b"p:q!", b"", 0.0, b"1"))
    again = unpacker.message(payload)
    assert again == message == {"list": [1]}
    assert again["list"] is not message["list"]


def test_what_the_serialiser_raises_is_left_to_the_caller():
    def fail(member):
        raise KeyError("whatever")

    with pytest.raises(KeyError):
        Unpacker(KEYS, bytes, fail)(Taken(b"p:work", b"", 0.0, b"1"))


def test_the_payload_of_a_message_for_many_has_no_names_in_it():
    names = [f"p!{number}" for number in range(20)]
    message = {"text": "x", "__asgi_channel__": names}
    unpacker = Unpacker(KEYS, bytes, json.loads, lambda message: json.dumps(message).encode())
    taken = Taken(b"p:p!", json.dumps(message).encode(), 0.0, b"1")
    assert unpacker(taken) == ("p!", names, {"text": "x"}, b'{"text": "x"}')
    large = json.dumps({**message, "text": "x" * 1000}).encode()
    assert unpacker(taken._replace(member=large))[3] == large, "not worth it"
    few = json.dumps({**message, "__asgi_channel__": names[:3]}).encode()
    assert unpacker(taken._replace(member=few))[3] == few
