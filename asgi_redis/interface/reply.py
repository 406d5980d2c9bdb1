"""The replies of consumers: to HTTP requests, and to websockets."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any, NamedTuple

from asgi_redis.interface.asgi import Event, Headers
from asgi_redis.wire.message import Message

CLOSE_NORMAL = 1000

_KEYS = {"accept", "subprotocol", "text", "bytes", "close", "status", "headers", "content"}
_MEANT = {"accept", "text", "bytes", "close", "status"}  # a reply has one of them at least
_HEADER_NAME = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+")  # a token, see RFC 9110, 5.6.2
_NOT_IN_A_HEADER = re.compile(rb"[\r\n\0]")


class HTTPReply(NamedTuple):
    """A consumer's reply, or the ``error`` in it. ``status`` is None after the first."""

    status: int | None
    headers: Headers
    content: bytes
    more: bool
    error: str | None = None


def parse_http_reply(message: Message) -> HTTPReply:
    """Return the reply in a message, or the error in it."""
    if message.get("closed"):
        return HTTPReply(None, [], b"", False, "the consumer has failed in the middle of the response")
    try:
        status = _checked_status(message["status"]) if "status" in message else None
        if status is None and "content" not in message:
            raise ValueError(f"it has the keys status and content, not {_keys_of(message)}")
        headers = _checked_headers(message.get("headers", []))
        return HTTPReply(status, headers, _checked_bytes(message, "content"), bool(message.get("more_content")))
    except ValueError as error:
        return HTTPReply(None, [], b"", False, str(error))


class Denial(NamedTuple):
    """The HTTP response to a websocket that is refused."""

    status: int
    headers: Headers
    content: bytes


class SocketReply(NamedTuple):
    """A consumer's reply. ``accept`` is None where it is not mentioned."""

    accept: bool | None
    subprotocol: str | None
    frame: Event | None
    size: int
    close: int | None
    denial: Denial | None


def parse_socket_reply(message: Message) -> SocketReply:
    """Return the reply in a message. Raises ``ValueError`` where it is none."""
    if message.keys() - _KEYS or not message.keys() & _MEANT:
        raise ValueError(f"a reply to a websocket has the keys accept, text, bytes, close, not {_keys_of(message)}")
    text, data = message.get("text"), message.get("bytes")
    if not isinstance(text, (str, type(None))) or not isinstance(data, (bytes, type(None))):
        raise ValueError("text is a str, and bytes is bytes")
    if text is not None and data is not None:
        raise ValueError("a frame is text or bytes, not both")
    frame: Event | None = None
    size = len(data or b"")
    if text is not None:
        frame = {"type": "websocket.send", "text": text}
        size = len(text.encode())  # raises an error where UTF-8 has no bytes for it
    elif data is not None:
        frame = {"type": "websocket.send", "bytes": data}
    accept, close, subprotocol = message.get("accept"), message.get("close"), message.get("subprotocol")
    if not isinstance(accept, (bool, type(None))):
        raise ValueError("accept is true or false")
    code = _checked_close(close)
    if not isinstance(subprotocol, (str, type(None))):
        raise ValueError("subprotocol is a str")
    denial = _parse_denial(message) if "status" in message else None
    return SocketReply(accept, subprotocol, frame, size, code, denial)


def _keys_of(message: Message) -> list[str]:
    return sorted(map(str, message))  # other programs may have sent keys of several types


def _checked_close(close: Any) -> int | None:
    """Return the code of a close, if it may be sent. See RFC 6455, 7.4."""
    if close is None or close is False:
        return None
    if close is True:
        return CLOSE_NORMAL
    if not isinstance(close, int) or not (1000 <= close <= 1003 or 1007 <= close <= 1014 or 3000 <= close <= 4999):
        raise ValueError(f"close is true, or a code that may be sent, not {close!r}")
    return close


def _parse_denial(message: Message) -> Denial:
    return Denial(
        _checked_status(message["status"]),
        _checked_headers(message.get("headers", [])),
        _checked_bytes(message, "content"),
    )


def _checked_headers(headers: Any) -> Headers:
    """Return the headers of a reply, which are pairs of bytes."""
    pairs: Iterable[Any] = headers.items() if isinstance(headers, dict) else headers
    if not isinstance(pairs, (list, tuple)) and not isinstance(headers, dict):
        raise ValueError(f"headers is a list of pairs of bytes, not a {type(headers).__name__}")
    checked = []
    for pair in pairs:
        if not (isinstance(pair, (list, tuple)) and len(pair) == 2 and all(isinstance(part, bytes) for part in pair)):
            raise ValueError("headers is a list of pairs of bytes, and one of them is something else")
        name, value = pair
        if not _HEADER_NAME.fullmatch(name) or _NOT_IN_A_HEADER.search(value):
            raise ValueError(f"the header {name!r} has characters that none may have")
        checked.append((name.lower(), value.strip(b" \t")))  # cookies of Django under Channels 1 begin with a space
    return checked


def _checked_status(status: Any) -> int:
    """Return the status of a reply. Raises ``ValueError`` unless it is an HTTP status."""
    if isinstance(status, bool) or not isinstance(status, int) or not 200 <= status <= 599:
        raise ValueError(f"status is a whole number from 200 to 599, not {status!r}")
    return status


def _checked_bytes(message: Message, key: str) -> bytes:
    """Return the bytes under a key of a reply, empty where it is missing."""
    content = message.get(key, b"")
    if not isinstance(content, bytes):
        raise ValueError(f"{key} is bytes, not {type(content).__name__}")
    return content
