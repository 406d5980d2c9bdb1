"""Requests to one Redis server as bytes, each with the reading of its replies."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any, Callable, NamedTuple

from asgi_redis.wire.scripts import Script


class Operation(NamedTuple):
    """
    The bytes of one write, the number of replies, and their meaning.

    ``read`` gets the reply, or the list of replies where there are several. ``script`` is the script that the request
    runs: its text is sent when Redis answers ``NOSCRIPT``, so the rest of the request may be repeated. ``end`` ends a
    request that waits, where that needs a request for it alone. ``again`` makes the request to send in place of one
    that was refused, where meanwhile another may be right; None for no request.
    """

    packed: bytes
    read: Callable[[Any], Any]
    replies: int = 1
    script: Script | None = None
    end: Operation | None = None
    again: Callable[[], Operation | None] | None = None

    def with_text(self) -> bytes:
        """Return the request with the text of its script, which Redis knows after it."""
        assert self.script is not None
        by_name, by_text = bulk(b"EVALSHA") + bulk(self.script.sha), bulk(b"EVAL") + bulk(self.script.text)
        return self.packed.replace(by_name, by_text, 1)

    def asking(self) -> Operation:
        """
        Return the request with ``ASKING``, for a node that is about to get its slot.

        See "ASK redirection" in https://redis.io/docs/latest/operate/oss_and_stack/reference/cluster-spec/
        """
        packed, position, commands = [], 0, 0
        while position < len(self.packed):
            end = _end_of_command(self.packed, position)
            packed += [_ASKING, self.packed[position:end]]
            position, commands = end, commands + 1
        read = self.read

        def read_asked(replies: list[Any]) -> Any:
            return read(replies[1] if commands == 1 else replies[1::2])

        return self._replace(packed=b"".join(packed), read=read_asked, replies=2 * commands)

    def keys(self) -> list[bytes]:
        """
        Return the keys of its first command.

        Without a script that is ``BZPOPMIN``, or has one key: other arguments are no keys, and a user of some keys
        only, or a node of a cluster, refuses to look there.
        """
        if self.script is not None:
            return self.script_arguments()[0]
        name, *words = _arguments(self.packed)
        return words[:-1] if name == b"BZPOPMIN" else words[:1]

    def script_arguments(self) -> tuple[list[bytes], list[bytes]]:
        """Return the keys and the other arguments of its script."""
        words = _arguments(self.packed)
        first = 3 + int(words[2])
        return words[3:first], words[first:]


def _arguments(packed: bytes) -> list[bytes]:
    """Return the words of the first command."""
    words: list[bytes] = []
    line_end = packed.index(b"\r\n")
    for _ in range(int(packed[1:line_end])):
        start = line_end + 2
        line_end = packed.index(b"\r\n", start)
        size = int(packed[start + 1 : line_end])
        words.append(packed[line_end + 2 : line_end + 2 + size])
        line_end += 2 + size
    return words


def _end_of_command(packed: bytes, position: int) -> int:
    """Return where the command ends that begins at ``position``."""
    line_end = packed.index(b"\r\n", position)
    number, position = int(packed[position + 1 : line_end]), line_end + 2
    for _ in range(number):
        line_end = packed.index(b"\r\n", position)
        position = line_end + 2 + int(packed[position + 1 : line_end]) + 2
    return position


def bulk(value: bytes) -> bytes:
    """Return ``value`` as a RESP bulk string."""
    return b"$%d\r\n%b\r\n" % (len(value), value)


def bulks(values: Sequence[bytes], prefix: bytes = b"") -> bytes:
    """Return ``values``, each with ``prefix`` before it, as RESP bulk strings."""
    starts = {length: b"$%d\r\n%b" % (len(prefix) + length, prefix) for length in set(map(len, values))}
    if len(starts) == 1:  # one call in C then joins them, however many there are
        (start,) = starts.values()
        return b"%b%b\r\n" % (start, (b"\r\n" + start).join(values))
    return b"".join([b"%b%b\r\n" % (starts[len(value)], value) for value in values])


def command(*arguments: bytes) -> bytes:
    """Return a command as RESP; see ``resp``."""
    return b"*%d\r\n" % len(arguments) + b"".join(map(bulk, arguments))


_ASKING = command(b"ASKING")


def script_head(script: Script, keys: Iterable[bytes], arguments: Iterable[bytes], more: int = 0) -> bytes:
    """Return the ``EVALSHA`` of ``script`` without its last ``more`` arguments."""
    keys, arguments = list(keys), list(arguments)
    parts = [b"EVALSHA", script.sha, b"%d" % len(keys), *keys, *arguments]
    return b"*%d\r\n" % (len(parts) + more) + b"".join(map(bulk, parts))


def run_script(
    script: Script,
    keys: Iterable[bytes],
    arguments: Iterable[bytes],
    read: Callable[[Any], Any] = bool,
    again: Callable[[], Operation | None] | None = None,
) -> Operation:
    """Return the operation that runs ``script``."""
    return Operation(script_head(script, keys, arguments), read, 1, script, None, again)


def milliseconds(seconds: float) -> bytes:
    """Return a TTL that lasts so many seconds at least."""
    return b"%d" % math.ceil(seconds * 1000)


def number(value: float) -> bytes:
    """Return a number as Redis and Lua read it, to the last digit."""
    return repr(value).encode()
