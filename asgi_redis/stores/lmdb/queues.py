"""What pushing, reading and sweeping do alike with the records of a queue."""

from __future__ import annotations

from typing import Any

from asgi_redis.stores.lmdb.records import COUNTERS, COUNTERS_KEY, MESSAGE

HOUR = 3600.0  # a queue's counters are kept for that after the last message
DAY = 86400.0  # all of them together


def purge(txn: Any, key: bytes, head: int, tail: int, sent_before: float, most: int) -> int:
    """Removes up to ``most`` messages sent before that time; returns the number of the first that stays."""
    end = min(tail, head + most)
    while head < end:
        number = key + head.to_bytes(8, "big")
        if MESSAGE.unpack_from(txn.get(number))[0] > sent_before:
            break
        txn.delete(number)
        head += 1
    return head


def first_sent_after(txn: Any, key: bytes, head: int, tail: int, sent_before: float) -> int:
    """Returns the number of the first message that was sent after that time. They are in their order."""
    while head < tail:
        middle = (head + tail) // 2
        if MESSAGE.unpack_from(txn.get(key + middle.to_bytes(8, "big")))[0] > sent_before:
            tail = middle
        else:
            head = middle + 1
    return head


def retire(txn: Any, sent: int, refused: int, last: float) -> None:
    """Adds the counters of a queue, which it loses, to those of all that have."""
    value = txn.get(COUNTERS_KEY)
    sent_before, refused_before, last_before = COUNTERS.unpack(value) if value else (0, 0, last)
    if last_before - last > DAY:
        return
    if last - last_before > DAY:
        sent_before = refused_before = 0
    txn.put(COUNTERS_KEY, COUNTERS.pack(sent_before + sent, refused_before + refused, max(last, last_before)))
