"""Steps of looking at queues and groups of a store, and of purging a queue."""

from __future__ import annotations

from collections.abc import Mapping

from asgi_redis.engine.stores.lmdb.environment import Environment
from asgi_redis.engine.stores.lmdb.queues import first_unexpired, purge, retire, state_of
from asgi_redis.engine.stores.lmdb.records import (
    AFTER_QUEUE,
    FIRST_GROUP,
    FIRST_QUEUE,
    MEMBER,
    MESSAGE,
    STATE,
    QueueState,
    Txn,
    queue_key,
)
from asgi_redis.engine.stores.store import KEPT_SECONDS, StoredMessage
from asgi_redis.wire.expiry import is_expired

_QUEUES_AT_ONCE = 500
_MEMBERS_AT_ONCE = 2000
_MESSAGES_AT_ONCE = 500
_BYTES_AT_ONCE = 1 << 20


def queues(environment: Environment, txn: Txn, at: float, start: bytes) -> tuple[dict[str, int], bytes | None]:
    """
    Return queues from the key ``start`` on with the numbers of their messages.

    Queues without messages are among them while they have counters. Return where to go on, too, or None at the end.
    """
    found: dict[str, int] = {}
    with txn.cursor() as cursor:
        for _ in range(_QUEUES_AT_ONCE):
            if not cursor.set_range(start) or cursor.key()[:1] != FIRST_QUEUE:
                return found, None
            key, value = cursor.item()
            state = state_of(txn, key, value)
            if state.tail > state.head or (_has_counters(state, at) and b"?" not in key):
                found[key[1:-1].decode()] = state.tail - state.head
            start = key + AFTER_QUEUE
    return found, start


def _has_counters(state: QueueState, at: float) -> bool:
    return bool(state.sent or state.refused or state.expired) and at - state.last <= KEPT_SECONDS


def groups(
    environment: Environment, txn: Txn, at: float, group_expiry: float, start: bytes, begun: Mapping[str, int]
) -> tuple[dict[str, int], bytes | None]:
    """
    Return groups with the numbers of their members.

    Begin at the member with the key ``start``; ``begun`` has the number before it in its group. Return where to go
    on, too, or None at the end.
    """
    found = dict(begun)
    with txn.cursor() as cursor:
        if cursor.set_range(start):
            for number, (key, value) in enumerate(cursor):
                if key[:1] != FIRST_GROUP:
                    break
                if number == _MEMBERS_AT_ONCE:
                    return found, key
                if not is_expired(at - MEMBER.unpack(value)[0], group_expiry):
                    group = group_of(key)
                    found[group] = found.get(group, 0) + 1
    return found, None


def group_of(key: bytes) -> str:
    """Return the group of the member with that key."""
    return key[1 : key.index(b"\0")].decode()


def peek(
    environment: Environment, txn: Txn, at: float, queue: str, limit: int, expiry: float, start: int
) -> tuple[list[StoredMessage], int]:
    """Return up to ``limit`` messages from number ``start`` on, and the number behind."""
    messages: list[StoredMessage] = []
    key = queue_key(queue)
    value = txn.get(key)
    if value is None:
        return messages, start
    state = state_of(txn, key, value)
    number = max(start, first_unexpired(txn, key, state.head, state.tail, at, expiry))
    size = 0
    while number < state.tail and len(messages) < min(limit, _MESSAGES_AT_ONCE) and size < _BYTES_AT_ONCE:
        record = txn.get(key + number.to_bytes(8, "big"), b"")
        sent, length = MESSAGE.unpack_from(record)
        local = record[MESSAGE.size : MESSAGE.size + length].decode()
        messages.append(StoredMessage(queue + local, at - sent, record[MESSAGE.size + length :]))
        size += len(record)
        number += 1
    return messages, number


def purge_some(
    environment: Environment, txn: Txn, at: float, queue: str, expiry: float, end: int | None
) -> tuple[int, int | None]:
    """
    Remove messages of a queue up to the number ``end``, or all that it holds.

    Return how many had not expired, and where to end in the next step, or None when all are removed.
    """
    key = queue_key(queue)
    value = txn.get(key)
    if value is None:
        return 0, None
    state = state_of(txn, key, value)
    end = state.tail if end is None else min(end, state.tail)
    stop = min(end, state.head + _MESSAGES_AT_ONCE)
    first = purge(txn, key, state.head, stop, at, expiry, stop - state.head)
    for number in range(first, stop):
        txn.delete(key + number.to_bytes(8, "big"))
    state = state._replace(head=max(stop, state.head), expired=state.expired + first - state.head)
    addresses = value[STATE.size :]
    if state.head == state.tail and "?" in queue and not addresses:
        retire(txn, state)
        txn.delete(key)
    else:
        txn.put(key, state.to_bytes(addresses))
    return max(0, stop - first), end if stop < end else None
