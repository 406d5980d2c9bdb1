"""
The operations that look at queues, groups and delayed messages.

They are plain commands that read, for users without write access; ``purge`` is the only exception.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from asgi_redis.wire import scripts
from asgi_redis.wire.keys import Keys
from asgi_redis.wire.names import GROUP_PATTERN, has_valid_length
from asgi_redis.wire.operation import Operation, command, number, run_script

_OF_DATA = re.compile(rf"({GROUP_PATTERN}(?:\?{GROUP_PATTERN}|!)?)|:group:({GROUP_PATTERN})".encode())
_OF_COUNTERS = re.compile(rf"({GROUP_PATTERN}!?)".encode())
_GROUP = 2  # the part of the first that is the name of a group


class FoundKey(NamedTuple):
    """The key of a queue, of its counters, or of a group: its name and its shard."""

    shard: int
    name: str
    is_group: bool


class KeyReader:
    """
    Tells the queues and groups of some shards on one server by their keys.

    Counters stand for their queue, except for single-reader channels: these come and go, and their counters stay.
    """

    def __init__(self, keys: Mapping[int, Keys]) -> None:
        self.patterns = [_common(patterns) for patterns in zip(*(of_shard.patterns() for of_shard in keys.values()))]
        """The ``SCAN`` patterns for the keys; others match them, too."""
        self._prefixes = {of_shard.queue(b""): (shard, _OF_DATA) for shard, of_shard in keys.items()}
        self._prefixes.update({of_shard.counters(b""): (shard, _OF_COUNTERS) for shard, of_shard in keys.items()})
        self._lengths = sorted({len(prefix) for prefix in self._prefixes})

    def read(self, key: bytes) -> FoundKey | None:
        """Return the meaning of a key; None for any other key."""
        for length in self._lengths:
            shard, names = self._prefixes.get(key[:length], (0, None))
            found = names and names.fullmatch(key, length)
            if found:
                name = found[found.lastindex or 0].decode()
                if has_valid_length(name):
                    return FoundKey(shard, name, found.lastindex == _GROUP)
        return None


class ScoredEntry(NamedTuple):
    """A member of a sorted set, and its score in Unix seconds."""

    member: bytes
    score: float


class DelayedTotals(NamedTuple):
    """The server's clock in Unix seconds, and the number and first of the messages."""

    now: float
    messages: int
    first: ScoredEntry | None


class InspectionOperations:
    """Makes the operations of one shard."""

    def __init__(self, keys: Keys) -> None:
        self._keys = keys

    def queue(self, name: str) -> bytes:
        """Return the key of a queue."""
        return self._keys.queue(name.encode())

    def messages(self, name: str, sent: float, position: int, limit: int) -> Operation:
        """Reads as ``ScoredEntry`` of a queue, from ``position`` of those sent since then."""
        window = (b"LIMIT", b"%d" % position, b"%d" % limit)
        packed = command(b"ZRANGEBYSCORE", self.queue(name), number(sent), b"+inf", b"WITHSCORES", *window)
        return Operation(packed, _read_entries)

    def delayed_totals(self) -> Operation:
        """Reads as ``DelayedTotals``."""
        key = self._keys.delayed
        packed = command(b"ZCARD", key) + command(b"ZRANGE", key, b"0", b"0", b"WITHSCORES") + command(b"TIME")
        return Operation(packed, _read_totals, 3)

    def delayed(self, position: int, limit: int) -> Operation:
        """Reads as ``ScoredEntry`` of delayed messages, the first due first."""
        last = b"%d" % (position + limit - 1)
        packed = command(b"ZRANGE", self._keys.delayed, b"%d" % position, last, b"WITHSCORES")
        return Operation(packed, _read_entries)

    def waiting_queues(self, position: int, limit: int) -> Operation:
        """Reads as keys, each with the messages that wait for room in one queue."""
        last = b"%d" % (position + limit - 1)
        packed = command(b"ZRANGE", self._keys.waiting_queues, b"%d" % position, last)
        return Operation(packed, lambda names: [self._keys.waiting(name) for name in names])

    def purge(self, name: str, expiry: float) -> Operation:
        """Delete a queue. Reads as how many messages it held that had not expired."""
        return run_script(scripts.PURGE, (self.queue(name),), (number(expiry),), int)


def sizes(keys: Sequence[bytes]) -> Operation:
    """Reads as the numbers of members of sorted sets; 0 for no key."""
    packed = b"".join(command(b"ZCARD", key) for key in keys)
    return Operation(packed, list if len(keys) > 1 else lambda reply: [reply], len(keys))


def clock() -> Operation:
    """Reads as the server's clock in Unix seconds."""
    return Operation(command(b"TIME"), _read_time)


def _common(patterns: Sequence[bytes]) -> bytes:
    """Return a glob for all keys that match some globs, which differ in their ends."""
    first, last = min(patterns), max(patterns)
    if first == last:
        return first
    length = next(position for position, (one, other) in enumerate(zip(first, last)) if one != other)
    return first[:length] + b"*"


def _read_time(reply: Sequence[bytes]) -> float:
    return int(reply[0]) + int(reply[1]) / 1000000


def _read_entries(reply: list[Any]) -> list[ScoredEntry]:
    # RESP 3 has pairs, and numbers for scores.
    pairs = reply if reply and isinstance(reply[0], list) else zip(reply[::2], reply[1::2])
    return [ScoredEntry(member, float(score)) for member, score in pairs]


def _read_totals(replies: list[Any]) -> DelayedTotals:
    messages, first, time = replies
    return DelayedTotals(_read_time(time), messages, next(iter(_read_entries(first)), None))
