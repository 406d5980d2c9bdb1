"""The operations on the members of groups."""

from __future__ import annotations

import functools
from typing import Any, NamedTuple

from asgi_redis.wire import scripts
from asgi_redis.wire.expiry import is_expired
from asgi_redis.wire.keys import Keys
from asgi_redis.wire.operation import Operation, command, milliseconds, number, run_script

_MEMBERS_AT_ONCE = 10_000  # in one command
_CACHED = 256  # requests


class GroupMembers(NamedTuple):
    """
    The members of a group: all of them, if they are few.

    ``expired``: some have expired and are still there. ``more``: there may be others than ``names``.
    """

    names: list[bytes]
    expired: bool
    more: bool


class GroupOperations:
    """Makes the operations of one layer, whose ``group_expiry`` is in seconds."""

    def __init__(self, keys: Keys, group_expiry: float) -> None:
        self._keys = keys
        self._group_expiry = group_expiry
        self._expiry = number(group_expiry)
        self._ttl = milliseconds(group_expiry)
        self.members = functools.lru_cache(maxsize=_CACHED)(self._make_members)
        """``members(group)`` reads as ``GroupMembers``, oldest first."""

    def add(self, group: str, channel: str) -> Operation:
        """Add or renew a member."""
        return run_script(scripts.GROUP_ADD, (self._keys.group(group),), (channel.encode(), self._ttl))

    def discard(self, group: str, channel: str) -> Operation:
        """Remove a member. Reads as whether it was one."""
        return Operation(command(b"ZREM", self._keys.group(group), channel.encode()), bool)

    def count(self, group: str) -> Operation:
        """Reads as the number of members whose membership has not expired."""
        return run_script(scripts.GROUP_COUNT, (self._keys.group(group),), (self._expiry,), int)

    def _make_members(self, group: str) -> Operation:
        # The oldest member and the clock tell whether any has expired: plain commands cost less than a script.
        key = self._keys.group(group)
        packed = command(b"ZRANGE", key, b"0", b"0", b"WITHSCORES") + command(b"TIME")
        packed += command(b"ZRANGE", key, b"0", b"%d" % (_MEMBERS_AT_ONCE - 1))
        return Operation(packed, self._read_members, 3)

    def _read_members(self, replies: list[Any]) -> GroupMembers:
        oldest, (seconds, microseconds), names = replies
        expired = False
        if oldest:
            # RESP 3 has pairs, and numbers for scores.
            score = oldest[1] if len(oldest) == 2 else oldest[0][1]
            expired = is_expired(int(seconds) + int(microseconds) / 1e6 - float(score), self._group_expiry)
        return GroupMembers(names, expired, len(names) >= _MEMBERS_AT_ONCE)

    def expire(self, group: str) -> Operation:
        """Remove some of the expired members. Reads as how many of them are left."""
        arguments = (self._expiry, b"%d" % (_MEMBERS_AT_ONCE // 4))
        return run_script(scripts.GROUP_EXPIRE, (self._keys.group(group),), arguments, int)

    def scan(self, group: str, cursor: bytes) -> Operation:
        """Reads as the next cursor, ``b"0"`` at the end, and a dict of scores by members."""
        packed = command(b"ZSCAN", self._keys.group(group), cursor, b"COUNT", b"%d" % (_MEMBERS_AT_ONCE // 4))
        return Operation(packed, _read_scan)


def _read_scan(reply: list[Any]) -> tuple[bytes, dict[bytes, float]]:
    cursor, found = reply
    # RESP 3 has pairs, and numbers for scores.
    pairs = found if found and isinstance(found[0], list) else zip(found[::2], found[1::2])
    return cursor, {name: float(score) for name, score in pairs}
