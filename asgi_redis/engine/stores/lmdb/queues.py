"""What pushing, reading and sweeping do alike with the records of a queue."""

from __future__ import annotations

from typing import Any

from asgi_redis.engine.stores.lmdb.records import COUNTERS, COUNTERS_KEY, MESSAGE, STATE, State, is_empty
from asgi_redis.wire.expiry import is_over

HOUR = 3600.0  # a queue's counters are kept for that after the last message
DAY = 86400.0  # all of them together


def purge(txn: Any, key: bytes, head: int, tail: int, sent_before: float, most: int) -> int:
    """Removes up to ``most`` messages sent before that time; returns the number of the first that stays."""
    end = min(tail, head + most)
    while head < end:
        number = key + head.to_bytes(8, "big")
        if not is_over(MESSAGE.unpack_from(txn.get(number))[0], sent_before):
            break
        txn.delete(number)
        head += 1
    return head


def first_unexpired(txn: Any, key: bytes, head: int, tail: int, sent_before: float) -> int:
    """Returns the number of the first message that was not sent before that time. They are in their order."""
    while head < tail:
        middle = (head + tail) // 2
        if is_over(MESSAGE.unpack_from(txn.get(key + middle.to_bytes(8, "big")))[0], sent_before):
            head = middle + 1
        else:
            tail = middle
    return head


def retire(txn: Any, state: State) -> None:
    """Adds the counters of a queue, which it loses, to those of all that have."""
    if not (state.sent or state.refused or state.expired):
        return
    value = txn.get(COUNTERS_KEY)
    sent, refused, expired, last = COUNTERS.unpack(value) if value else (0, 0, 0, state.last)
    if last - state.last > DAY:
        return
    if state.last - last > DAY:
        sent = refused = expired = 0
    counters = sent + state.sent, refused + state.refused, expired + state.expired
    txn.put(COUNTERS_KEY, COUNTERS.pack(*counters, max(last, state.last)))


def leave(txn: Any, key: bytes, mailbox: bytes) -> None:
    """Removes the record of a single-reader channel that its reader gives up, unless something is in it."""
    value = txn.get(key)
    if value is not None and is_empty(value) and value[STATE.size :] in (b"", mailbox):
        retire(txn, State.of(value))
        txn.delete(key)
