"""The members of a group."""

from __future__ import annotations

from typing import Any

from asgi_redis.engine.stores.lmdb.environment import Environment
from asgi_redis.engine.stores.lmdb.records import MEMBER, now
from asgi_redis.wire.expiry import is_expired

_READ_AT_ONCE = 2000  # members, so that nobody waits long for the writer's lock


def members(
    environment: Environment, txn: Any, key: bytes, group_expiry: float, start: bytes
) -> tuple[list[str], bytes | None]:
    """
    Returns channels that were added to the group with that key within ``group_expiry`` seconds.

    Begins at the record ``start``; returns where to go on, too, or None at the end.
    """
    at = now()
    environment.check(at)
    channels: list[str] = []
    with txn.cursor() as cursor:
        if cursor.set_range(start):
            for number, (member, value) in enumerate(cursor):
                if not member.startswith(key):
                    break
                if number == _READ_AT_ONCE:
                    return channels, member
                if not is_expired(at - MEMBER.unpack(value)[0], group_expiry):
                    channels.append(member[len(key) :].decode())
    return channels, None
