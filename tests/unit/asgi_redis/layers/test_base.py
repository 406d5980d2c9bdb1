"""Names and capacities, by the rules of the ASGI 1.x specification."""

from __future__ import annotations

import re

import pytest

from asgi_redis import InMemoryChannelLayer
from asgi_redis.exceptions import ChannelFull, ConfigurationError, InvalidName, MessageTooLarge
from asgi_redis.layers.base import BaseChannelLayer


def make(**settings):
    return InMemoryChannelLayer(**settings)


@pytest.fixture
def layer():
    return make()


GOOD_NAMES = ["a", "http.request", "A-b_c.9", "reply!", "reply!abc", "reply?abc", "x" * 99]
BAD_NAMES = [
    "",
    "x" * 100,
    "two words",
    "a\n",
    "a:b",
    "a/b",
    "é",
    "a\x00",
    "!",
    "!a",
    "?a",
    "a!b!c",
    "a?b!c",
    "a!b?c",
    b"bytes",
    None,
    7,
    ["a"],
]


@pytest.mark.parametrize("name", GOOD_NAMES)
def test_a_valid_channel_name_is(layer, name):
    assert layer.valid_channel_name(name) is True


@pytest.mark.parametrize("name", [*BAD_NAMES, "a?"])
def test_an_invalid_channel_name_is_shown_with_the_rule(layer, name):
    with pytest.raises(TypeError) as raised:
        layer.valid_channel_name(name)
    assert isinstance(raised.value, InvalidName)
    assert repr(name) in str(raised.value)
    assert re.search("must", str(raised.value))


def test_to_receive_from_a_process_local_name_ends_at_its_mark(layer):
    assert layer.valid_channel_name("reply!", receive=True)
    assert layer.valid_channel_name("reply?abc", receive=True)
    with pytest.raises(TypeError, match="'reply!abc' cannot be received from"):
        layer.valid_channel_name("reply!abc", receive=True)


def test_a_list_of_valid_names_is_valid(layer):
    assert layer.valid_channel_names(["a", "b!"], receive=True) is True


@pytest.mark.parametrize("names", ["abc", [], ("a",), None, ["a", "b c"]])
def test_anything_else_is_no_list_of_names(layer, names):
    with pytest.raises(TypeError):
        layer.valid_channel_names(names)


@pytest.mark.parametrize("name", ["chat", "A-b_c.9", "x" * 99])
def test_a_valid_group_name_is(layer, name):
    assert layer.valid_group_name(name) is True


@pytest.mark.parametrize("name", [*BAD_NAMES, "chat!", "chat?a"])
def test_an_invalid_group_name_is_shown_with_the_rule(layer, name):
    with pytest.raises(TypeError) as raised:
        layer.valid_group_name(name)
    assert repr(name) in str(raised.value)


def test_a_local_name_is_kept_in_the_queue_before_its_local_part(layer):
    assert layer.non_local_name("reply!abc") == "reply!"
    assert layer.non_local_name("reply!") == "reply!"
    assert layer.non_local_name("reply?abc") == "reply?abc"
    assert layer.non_local_name("work") == "work"


def test_names_are_str_of_fewer_than_100_characters(layer):
    assert layer.match_type_and_length("x" * 99)
    assert not layer.match_type_and_length("x" * 100)
    assert not layer.match_type_and_length(b"x")


def test_capacities_by_glob_and_compiled_pattern_in_their_order():
    layer = make(
        capacity=5,
        channel_capacity={
            "http.request": 1,
            "http.disconnect*": 2,
            re.compile(r"^websocket\.send\!.+"): 3,
            "websocket.*": 4,
        },
    )
    assert layer.get_capacity("http.request") == 1
    assert layer.get_capacity("http.request.body") == 5
    assert layer.get_capacity("http.disconnecting") == 2
    assert layer.get_capacity("websocket.send!abc") == 3
    assert layer.get_capacity("websocket.receive") == 4
    assert layer.get_capacity("other") == 5


def test_the_first_pattern_that_matches_wins_whatever_comes_after():
    assert make(channel_capacity={"a*": 1, "ab*": 2}).get_capacity("abc") == 1
    assert make(channel_capacity={"ab*": 2, "a*": 1}).get_capacity("abc") == 2


def test_a_glob_is_for_the_whole_name_and_a_pattern_for_its_start():
    layer = make(channel_capacity={"work": 1, re.compile("play"): 2})
    assert layer.get_capacity("workshop") == 100
    assert layer.get_capacity("playground") == 2
    assert layer.get_capacity("display") == 100


def test_glob_characters_do_what_they_do_in_file_names():
    layer = make(channel_capacity={"a?c": 1, "[xy].*": 2})
    assert layer.get_capacity("abc") == 1
    assert layer.get_capacity("ac") == 100
    assert layer.get_capacity("y.z") == 2


@pytest.mark.parametrize("capacity", [0, -1, 1.5, "10", None, True])
def test_a_capacity_that_is_no_number_of_messages_is_refused(capacity):
    with pytest.raises(ValueError, match="capacity must be a whole number"):
        make(capacity=capacity)
    with pytest.raises(ConfigurationError, match=r"channel_capacity\['a'\] must be a whole number"):
        make(channel_capacity={"a": capacity})


@pytest.mark.parametrize("pattern", [5, re.compile(b"a"), None])
def test_a_pattern_that_matches_no_names_is_refused(pattern):
    with pytest.raises(ConfigurationError, match="globs or compiled patterns"):
        make(channel_capacity={pattern: 1})


def test_capacities_must_be_a_dict():
    with pytest.raises(ConfigurationError, match=r'channel_capacity must be a dict such as \{"http.request": 200\}'):
        make(channel_capacity=[("a", 1)])


@pytest.mark.parametrize("setting", ["expiry", "group_expiry"])
@pytest.mark.parametrize("seconds", [0, -1, "60", None, True, float("nan"), float("inf")])
def test_an_expiry_that_is_no_number_of_seconds_is_refused(setting, seconds):
    with pytest.raises(ValueError, match=f"{setting} must be a number of seconds above 0"):
        make(**{setting: seconds})


def test_an_expiry_may_be_a_fraction():
    assert make(expiry=0.25).expiry == 0.25


def test_the_errors_are_attributes_of_the_class_as_in_asgi_1():
    assert BaseChannelLayer.ChannelFull is ChannelFull
    assert BaseChannelLayer.MessageTooLarge is MessageTooLarge


def test_a_message_is_a_dict_without_the_reserved_key(layer):
    layer.check_message({"a": 1})
    with pytest.raises(TypeError, match="a message must be a dict, not list"):
        layer.check_message([])
    with pytest.raises(ValueError, match="__asgi_channel__"):
        layer.check_message({"__asgi_channel__": "a"})
