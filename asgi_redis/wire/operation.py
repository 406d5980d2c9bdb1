"""One request to one Redis server: the bytes to send, and how the replies read."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any, Callable, NamedTuple

from asgi_redis.wire.scripts import Script


class Operation(NamedTuple):
    """
    The bytes of one write, the number of replies to await after it, and their meaning.

    ``read`` gets the reply, or the list of replies where there are several. ``script`` is the one that the request
    runs, whose text is to be sent should Redis answer ``NOSCRIPT``; a request that runs a script has nothing else in
    it that must not be repeated then. ``end`` is what ends one that waits, where it brings that with it.
    """

    packed: bytes
    read: Callable[[Any], Any]
    replies: int = 1
    script: Script | None = None
    end: Operation | None = None

    def with_text(self) -> bytes:
        """Returns the request with the text of its script, which Redis then knows; nothing can come in between."""
        assert self.script is not None
        known, told = bulk(b"EVALSHA") + bulk(self.script.sha), bulk(b"EVAL") + bulk(self.script.text)
        return self.packed.replace(known, told, 1)

    def keys(self) -> list[bytes]:
        """Returns the keys of its first command; where that runs no script, all the arguments, keys among them."""
        _, _, rest = self.packed.partition(b"\r\n")
        arguments = []
        for _ in range(int(self.packed[1:].split(b"\r\n", 1)[0])):
            length, _, rest = rest.partition(b"\r\n")
            size = int(length[1:])
            arguments.append(rest[:size])
            rest = rest[size + 2 :]
            if self.script is not None and len(arguments) >= 3 and len(arguments) == 3 + int(arguments[2]):
                break
        return arguments[1:] if self.script is None else arguments[3:]


def bulk(value: bytes) -> bytes:
    """Returns ``value`` as a RESP bulk string."""
    return b"$%d\r\n%b\r\n" % (len(value), value)


def command(*arguments: bytes) -> bytes:
    """Returns a command as RESP, see https://redis.io/docs/latest/develop/reference/protocol-spec/."""
    return b"*%d\r\n" % len(arguments) + b"".join(map(bulk, arguments))


def script_head(script: Script, keys: Iterable[bytes], arguments: Iterable[bytes], more: int = 0) -> bytes:
    """Returns the ``EVALSHA`` of ``script`` up to its last ``more`` arguments, to be appended with ``bulk``."""
    keys, arguments = list(keys), list(arguments)
    parts = [b"EVALSHA", script.sha, b"%d" % len(keys), *keys, *arguments]
    return b"*%d\r\n" % (len(parts) + more) + b"".join(map(bulk, parts))


def milliseconds(seconds: float) -> bytes:
    """Return a TTL that lasts so many seconds at least."""
    return b"%d" % math.ceil(seconds * 1000)


def number(value: float) -> bytes:
    """Returns a number as Redis and Lua read it, to the last digit."""
    return repr(value).encode()
