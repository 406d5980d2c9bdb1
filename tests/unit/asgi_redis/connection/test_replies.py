"""Replies of bytes in any pieces, by hiredis and without it."""

from __future__ import annotations

import pytest
from redis.exceptions import InvalidResponse, NoPermissionError

from asgi_redis.connection import replies
from asgi_redis.connection.replies import ReplyReader

WIRE = b"*3\r\n$7\r\nmessage\r\n$2\r\nch\r\n$4\r\n\x00\r\n\xff\r\n-NOPERM no\r\n>2\r\n+a\r\n:1\r\n+PONG\r\n"
MEANING = [[b"message", b"ch", b"\x00\r\n\xff"], "NoPermissionError", [b"a", 1], b"PONG"]


@pytest.fixture(params=["hiredis", "Python"])
def make_reader(request, monkeypatch):
    if request.param == "Python":
        monkeypatch.setattr(replies, "hiredis", None)
    elif replies.hiredis is None:
        pytest.skip("without hiredis")
    return ReplyReader


@pytest.fixture
def reader(make_reader):
    return make_reader()


def meaning(read):
    return [type(reply).__name__ if isinstance(reply, Exception) else reply for reply in read]


@pytest.mark.parametrize("size", [1, 2, 7, len(WIRE)])
def test_pieces_of_any_size_give_the_same_replies(reader, size):
    pieces = [WIRE[start : start + size] for start in range(0, len(WIRE), size)]
    read = [reply for piece in pieces for reply in reader.read(piece)]
    assert meaning(read) == MEANING
    assert isinstance(read[1], NoPermissionError)


def test_messages_that_were_pushed_can_be_left_out(make_reader):
    if replies.hiredis is not None and not hasattr(replies.hiredis, "PushNotification"):
        pytest.skip("to this hiredis a message that was pushed is a list like any other")
    reader = make_reader(pushed=False)
    assert meaning(reader.read(WIRE + WIRE[:-9])) == [one for one in MEANING if one != [b"a", 1]] + MEANING[:2]
    assert meaning(reader.read(WIRE[-9:])) == MEANING[-1:]


def test_a_piece_of_a_reply_is_kept_for_the_next(reader):
    assert reader.read(WIRE + WIRE[:20]) != []
    assert reader.read(WIRE[20:40]) == [MEANING[0]]


def test_bytes_that_break_the_protocol_are_an_error_again_and_again(reader):
    with pytest.raises(InvalidResponse):
        reader.read(b"HTTP/1.1 400 Bad Request\r\n")
    with pytest.raises(InvalidResponse):
        reader.read(b"+OK\r\n")
