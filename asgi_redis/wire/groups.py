"""The operations on the members of groups."""

from __future__ import annotations

import functools
from typing import Any, NamedTuple

from asgi_redis.wire import scripts
from asgi_redis.wire.keys import Keys
from asgi_redis.wire.operation import Operation, command, milliseconds, number, run_script, script_head

_MEMBERS_AT_ONCE = 10_000  # in one command
_CACHED = 256  # requests


class GroupMembers(NamedTuple):
    """
    The members of a group: all of them, if they are few.

    ``expired``: some have expired and are still there. ``more``: there are others than ``names``.
    """

    names: list[bytes]
    expired: bool
    more: bool


class GroupOperations:
    """Makes the operations of one layer, whose ``group_expiry`` is in seconds."""

    def __init__(self, keys: Keys, group_expiry: float) -> None:
        self._keys = keys
        self._expiry = number(group_expiry)
        self._ttl = milliseconds(group_expiry)
        self.members = functools.lru_cache(maxsize=_CACHED)(self._make_members)
        """``members(group)`` reads as ``GroupMembers``, oldest first. Removes expired members."""

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
        key = self._keys.group(group)
        # A separate command reads the members: a script would copy each of them twice.
        packed = script_head(scripts.GROUP_EXPIRE, (key,), (self._expiry, b"%d" % (_MEMBERS_AT_ONCE // 4)))
        packed += command(b"ZRANGE", key, b"0", b"%d" % (_MEMBERS_AT_ONCE - 1))
        return Operation(packed, _read_members, 2, scripts.GROUP_EXPIRE)

    def scan(self, group: str, cursor: bytes) -> Operation:
        """Reads as the next cursor, ``b"0"`` at the end, and a dict of scores by members."""
        packed = command(b"ZSCAN", self._keys.group(group), cursor, b"COUNT", b"%d" % (_MEMBERS_AT_ONCE // 4))
        return Operation(packed, _read_scan)


def _read_members(replies: list[Any]) -> GroupMembers:
    (expired, number), names = replies
    return GroupMembers(names, expired > 0, number > len(names))


def _read_scan(reply: list[Any]) -> tuple[bytes, dict[bytes, float]]:
    cursor, found = reply
    # RESP 3 has pairs, and numbers for scores.
    pairs = found if found and isinstance(found[0], list) else zip(found[::2], found[1::2])
    return cursor, {name: float(score) for name, score in pairs}
