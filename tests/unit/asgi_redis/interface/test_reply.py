"""What a reply of a consumer is, and what is none."""

from __future__ import annotations

import pytest

from asgi_redis.interface.reply import parse_http_reply, parse_socket_reply


def test_a_response():
    reply = parse_http_reply(
        {"status": 200, "headers": [[b"X-One", b"a b\xe4"]], "content": b"c", "more_content": True}
    )
    assert (reply.status, reply.headers, reply.content, reply.more) == (200, [(b"x-one", b"a b\xe4")], b"c", True)


def test_a_later_part_has_content_only():
    reply = parse_http_reply({"content": b"c"})
    assert (reply.status, reply.content, reply.more, reply.error) == (None, b"c", False, None)


@pytest.mark.parametrize("name", [b"", b"a b", b"a:", b"a\n", b"\xc3\xa4"])
def test_a_name_of_a_header_is_a_token(name):
    assert "header" in (parse_http_reply({"status": 200, "headers": [[name, b"v"]], "content": b""}).error or "")


def test_spaces_around_a_value_are_left_out():
    """Channels 1 begins the values of cookies with one, which h11 refuses."""
    reply = parse_http_reply({"status": 200, "headers": [[b"Set-Cookie", b" a=b "]]})
    assert reply.headers == [(b"set-cookie", b"a=b")]


@pytest.mark.parametrize("value", [b"a\r\nb", b"a\nb", b"a\0b"])
def test_a_value_of_a_header_is_one_line(value):
    assert "header" in (parse_http_reply({"status": 200, "headers": [[b"n", value]], "content": b""}).error or "")


@pytest.mark.parametrize(("close", "code"), [(True, 1000), (False, None), (None, None), (1000, 1000), (4999, 4999)])
def test_the_codes_of_a_close(close, code):
    assert parse_socket_reply({"close": close}).close == code


@pytest.mark.parametrize("code", [0, 1, 999, 1004, 1005, 1006, 1015, 1016, 2999, 5000, -1, 1.5, "1000"])
def test_a_code_that_may_not_be_sent_is_an_error(code):
    with pytest.raises(ValueError, match="close"):
        parse_socket_reply({"close": code})


@pytest.mark.parametrize("parse", [parse_http_reply, parse_socket_reply])
def test_keys_of_several_types_are_named(parse):
    """They do not compare, and other programs send them."""
    try:
        error = parse({b"text": "a", "other": 1}).error
    except ValueError as raised:
        error = str(raised)
    assert "not [\"b'text'\", 'other']" in error


def test_a_text_that_has_no_bytes_is_an_error():
    with pytest.raises(ValueError, match="surrogates"):
        parse_socket_reply({"text": "\ud800"})


def test_a_frame_counts_its_size():
    assert parse_socket_reply({"text": "abc"}).size == 3
    assert parse_socket_reply({"text": "ä"}).size == 2
    assert parse_socket_reply({"bytes": b"abcd"}).size == 4
    assert parse_socket_reply({"accept": True}).size == 0


def test_a_refusal_may_be_a_response():
    denial = parse_socket_reply({"accept": False, "status": 401, "headers": [[b"A", b"b"]], "content": b"c"}).denial
    assert denial == (401, [(b"a", b"b")], b"c")
