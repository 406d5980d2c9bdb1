"""The members of groups in a store."""

from __future__ import annotations

import bisect
import itertools

from asgi_redis.engine.stores.lmdb.environment import Environment
from asgi_redis.engine.stores.lmdb.records import MEMBER, Txn, group_key
from asgi_redis.engine.stores.lmdb.sweeper import Sweeper
from asgi_redis.exceptions import ChannelFull
from asgi_redis.wire.expiry import is_expired

_MEMBER_BYTES = 512  # that a new member takes, at most
_READ_AT_ONCE = 2000  # members, so that no process waits long for the writer's lock


def add(
    environment: Environment, txn: Txn, at: float, sweeper: Sweeper, group: str, channel: str, group_expiry: float
) -> bool:
    """Add a member, or renew it; return False when there may be room in the next try."""
    if at >= sweeper.next:
        sweeper.sweep(txn, at)
    data = environment.data
    if txn.id() >= data.look_at and data.room(txn) < _MEMBER_BYTES:
        if sweeper.press(txn, at):
            return False
        raise ChannelFull(f"the IPC store in {environment.directory} has used up its {data.max_bytes} bytes")
    txn.put(group_key(group) + channel.encode(), MEMBER.pack(at, at + group_expiry))
    return True


def discard(environment: Environment, txn: Txn, at: float, group: str, channel: str) -> None:
    """Remove a member."""
    txn.delete(group_key(group) + channel.encode())


def members(
    environment: Environment, txn: Txn, at: float, group: str, group_expiry: float, start: bytes | None
) -> tuple[list[str], bytes | None]:
    """
    Return channels that were added to a group within ``group_expiry`` seconds.

    Begin at the record ``start``. Return where to go on, too, or None at the end.
    """
    key = group_key(group)
    with txn.cursor() as cursor:
        records = list(itertools.islice(cursor, _READ_AT_ONCE + 1)) if cursor.set_range(start or key) else []
    end = len(records)
    if records and not records[-1][0].startswith(key):
        end = bisect.bisect_left(records, (key[:-1] + b"\1",))  # behind the group: NUL is in no name
    rest = None
    if end > _READ_AT_ONCE:
        end, rest = _READ_AT_ONCE, records[_READ_AT_ONCE][0]
    if not end:
        return [], None
    names = [name for name, _ in records[:end]]
    times = [added for added, _ in MEMBER.iter_unpack(b"".join([value for _, value in records[:end]]))]
    if is_expired(at - min(times), group_expiry):
        names = [name for name, added in zip(names, times) if not is_expired(at - added, group_expiry)]
    return b"".join(names).decode().split(key.decode())[1:], rest
