"""The members of a group."""

from __future__ import annotations

from typing import Any

from asgi_redis.stores.lmdb.environment import Environment
from asgi_redis.stores.lmdb.records import MEMBER, now


def members(environment: Environment, txn: Any, key: bytes, group_expiry: float) -> list[str]:
    """Returns the channels that were added to the group with that key within ``group_expiry`` seconds."""
    at = now()
    environment.check(at)
    channels = []
    with txn.cursor() as cursor:
        if cursor.set_range(key):
            for member, value in cursor:
                if not member.startswith(key):
                    break
                if at - MEMBER.unpack(value)[0] < group_expiry:
                    channels.append(member[len(key) :].decode())
    return channels
