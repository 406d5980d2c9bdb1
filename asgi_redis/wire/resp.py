"""
The replies in bytes of Redis, as pure functions.

See https://redis.io/docs/latest/develop/reference/protocol-spec/ for RESP 2 and 3.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

_PAIRS = b"%|"
_LISTS = b"*~>%|"
_STRINGS = b"$=!"
_PUSH = b">"[0]
_VALUES: dict[bytes, Callable[[bytes], Any]] = {
    b"+": bytes,
    b":": int,
    b"(": int,
    b",": float,
    b"#": b"t".__eq__,
    b"_": lambda _: None,
}


class _Incomplete(Exception):
    """The bytes end within a reply."""


def replies(data: bytes, error: Callable[[str], Exception]) -> list[Any]:
    """
    Return all replies that are complete in ``data``.

    Strings are bytes; ``error`` makes an exception of the text of an error. Pushed messages are no replies, and left
    out. Raises ``ValueError`` for bytes that break the protocol.
    """
    return [reply for kind, reply, _ in _complete(data, error) if kind != _PUSH]


def replies_and_length(data: bytes, error: Callable[[str], Exception], pushed: bool) -> tuple[list[Any], int]:
    """
    Return the replies, and the ``pushed`` messages if asked for, and a length.

    The length counts all bytes that were read. Otherwise it does as ``replies`` does.
    """
    found = list(_complete(data, error))
    return [reply for kind, reply, _ in found if pushed or kind != _PUSH], found[-1][2] if found else 0


def _complete(data: bytes, error: Callable[[str], Exception]) -> Iterator[tuple[int, Any, int]]:
    """Yield the first byte, the value and the end of each reply that is complete."""
    position = 0
    while position < len(data):
        kind = data[position]
        try:
            reply, position = _parse(data, position, error)
        except _Incomplete:
            return
        yield kind, reply, position


def _parse(data: bytes, position: int, error: Callable[[str], Exception]) -> tuple[Any, int]:
    end = data.find(b"\r\n", position)
    if end < 0:
        raise _Incomplete
    kind, line, position = data[position : position + 1], data[position + 1 : end], end + 2
    if kind in _LISTS:
        length = int(line) * (2 if kind in _PAIRS else 1)
        items: list[Any] = []
        for _ in range(length):
            item, position = _parse(data, position, error)
            items.append(item)
        return None if length < 0 else items, position
    if kind in _STRINGS:
        end = position + int(line)
        if end < position:
            return None, position
        if end + 2 > len(data):
            raise _Incomplete
        return data[position:end], end + 2
    if kind == b"-":
        return error(line.decode("utf-8", "replace")), position
    if kind not in _VALUES:
        raise ValueError(f"{kind!r} does not begin a reply of Redis")
    return _VALUES[kind](line), position
