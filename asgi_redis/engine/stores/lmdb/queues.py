"""Steps on the records of a queue that pushing, taking and sweeping share."""

from __future__ import annotations

from asgi_redis.engine.stores.lmdb.records import (
    COUNTERS,
    COUNTERS_KEY,
    STATE,
    QueueState,
    Txn,
    queue_key,
    sent_at,
)
from asgi_redis.engine.stores.store import TOTAL_KEPT_SECONDS
from asgi_redis.wire.expiry import is_expired


def first_number(txn: Txn, key: bytes, tail: int) -> int:
    """Return the number of the first message of a queue; ``tail`` without one."""
    with txn.cursor() as cursor:
        if cursor.set_range(key + b"\0"):
            found = cursor.key()
            if found.startswith(key):
                return int.from_bytes(found[len(key) :], "big")
    return tail


def state_of(txn: Txn, key: bytes, value: bytes) -> QueueState:
    """Return the state in the record of a queue, with its present ``head``."""
    state = QueueState.of(value)
    return state._replace(head=first_number(txn, key, state.tail))


def is_empty(txn: Txn, key: bytes) -> bool:
    """Return whether the queue with that key holds no message."""
    return first_number(txn, key, -1) < 0


def purge(txn: Txn, key: bytes, head: int, tail: int, at: float, expiry: float, limit: int) -> int:
    """Remove up to ``limit`` expired messages; return the number of the next one."""
    end = min(tail, head + limit)
    while head < end:
        if not is_expired(at - sent_at(txn, key, head), expiry):
            break
        txn.delete(key + head.to_bytes(8, "big"))
        head += 1
    return head


def first_unexpired(txn: Txn, key: bytes, head: int, tail: int, at: float, expiry: float) -> int:
    """Return the number of the first message that has not expired."""
    while head < tail:
        middle = (head + tail) // 2
        if is_expired(at - sent_at(txn, key, middle), expiry):
            head = middle + 1
        else:
            tail = middle
    return head


def retire(txn: Txn, state: QueueState) -> None:
    """Add the counters that a queue loses to those of all queues that are gone."""
    if not (state.sent or state.refused or state.expired):
        return
    value = txn.get(COUNTERS_KEY)
    sent, refused, expired, last = COUNTERS.unpack(value) if value else (0, 0, 0, state.last)
    if last - state.last > TOTAL_KEPT_SECONDS:
        return
    if state.last - last > TOTAL_KEPT_SECONDS:
        sent = refused = expired = 0
    counters = sent + state.sent, refused + state.refused, expired + state.expired
    txn.put(COUNTERS_KEY, COUNTERS.pack(*counters, max(last, state.last)))


def discard(txn: Txn, queue: str, address: bytes) -> None:
    """Remove the record of a single-reader channel whose reader stops waiting."""
    key = queue_key(queue)
    value = txn.get(key)
    if value is not None and value[STATE.size :] in (b"", address) and is_empty(txn, key):
        retire(txn, QueueState.of(value))
        txn.delete(key)
