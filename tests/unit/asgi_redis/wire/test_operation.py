"""Requests are RESP, byte for byte."""

from __future__ import annotations

import pytest

from asgi_redis.wire import scripts
from asgi_redis.wire.operation import Operation, bulk, bulks, command, number, script_head
from tests.support.resp import commands, script_call


def test_a_bulk_string_has_its_length_in_bytes():
    assert bulk("é\r\n".encode()) == b"$4\r\n\xc3\xa9\r\n\r\n"
    assert bulk(b"") == b"$0\r\n\r\n"


def test_a_command_has_the_number_of_its_arguments():
    assert command(b"ZREM", b"key", b"member") == b"*3\r\n$4\r\nZREM\r\n$3\r\nkey\r\n$6\r\nmember\r\n"


def test_redis_py_would_pack_a_command_just_so():
    from redis.connection import Connection

    arguments = (b"EVALSHA", b"sha", b"1", b"k" * 300, b"\x00\r\n\xff")
    assert command(*arguments) == b"".join(Connection().pack_command(*arguments))


def test_a_script_head_counts_the_arguments_that_are_still_to_come():
    head = script_head(scripts.SEND, [b"queue", b"counters"], [b"1"], more=2)
    packed = head + bulk(b"first") + bulk(b"second")
    sha, keys, arguments = script_call(*commands(packed))
    assert sha == scripts.SEND.sha
    assert keys == [b"queue", b"counters"]
    assert arguments == [b"1", b"first", b"second"]


def test_a_script_head_takes_iterators():
    packed = script_head(scripts.RECEIVE, iter([b"a", b"b"]), iter([b"60", b"1"]))
    assert script_call(*commands(packed))[1:] == ([b"a", b"b"], [b"60", b"1"])


@pytest.mark.parametrize("value", [60, 0.1, 1 / 3, 1e-7, 1700000000.123456, 86400.0])
def test_a_number_keeps_its_last_digit(value):
    assert float(number(value)) == value


def test_an_operation_awaits_one_reply_and_runs_no_script_unless_it_says_so():
    operation = Operation(b"", int)
    assert operation.replies == 1
    assert operation.script is None


def test_an_operation_tells_its_keys():
    packed = script_head(scripts.RECEIVE, [b"a", b"b\r\n$1\r\nx"], [b"60"], more=1) + bulk(b"last")
    assert Operation(packed + packed, bool, 2, scripts.RECEIVE).keys() == [b"a", b"b\r\n$1\r\nx"]


@pytest.mark.parametrize(
    ("words", "keys"),
    [
        ([b"ZRANGE", b"group", b"0", b"0", b"WITHSCORES"], [b"group"]),
        ([b"ZPOPMIN", b"queue"], [b"queue"]),
        ([b"BZPOPMIN", b"queue", b"other", b"1"], [b"queue", b"other"]),
    ],
)
def test_without_a_script_it_tells_the_keys_of_the_first_command(words, keys):
    assert Operation(command(*words) + command(b"TIME"), bool, 2).keys() == keys


class TestAsking:
    """The request for a node that is about to get the slot."""

    def test_each_command_comes_after_an_asking(self):
        operation = Operation(command(b"GET", b"a\r\n*1") + command(b"TIME"), list, 2)
        asking = operation.asking()
        assert commands(asking.packed) == [[b"ASKING"], [b"GET", b"a\r\n*1"], [b"ASKING"], [b"TIME"]]
        assert asking.replies == 4

    def test_it_reads_as_the_request_does(self):
        assert Operation(command(b"GET", b"a"), bytes.upper).asking().read([b"OK", b"value"]) == b"VALUE"
        several = Operation(command(b"GET", b"a") + command(b"TIME"), tuple, 2)
        assert several.asking().read([b"OK", b"value", b"OK", b"time"]) == (b"value", b"time")

    def test_the_text_of_its_script_can_be_sent(self):
        packed = script_head(scripts.SEND, [b"queue"], [b"1"])
        text = Operation(packed, bool, 1, scripts.SEND).asking().with_text()
        assert [words[0] for words in commands(text)] == [b"ASKING", b"EVAL"]


def test_the_words_of_a_script_are_its_keys_and_arguments():
    operation = Operation(script_head(scripts.SEND, [b"a", b"b"], [b"1", b"\r\n"]), bool, 1, scripts.SEND)
    assert operation.script_arguments() == ([b"a", b"b"], [b"1", b"\r\n"])


@pytest.mark.parametrize("values", [[], [b""], [b"a"], [b"ab", b"cd"], [b"a", b"", b"bcd", b"e"]])
def test_bulk_strings_of_any_lengths_are_made_at_once(values):
    assert bulks(values) == b"".join(map(bulk, values))
    assert bulks(values, b"p:") == b"".join(bulk(b"p:" + value) for value in values)
