"""Counting what is in a store, and what has gone through it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

from asgi_redis.stores.lmdb.environment import Environment
from asgi_redis.stores.lmdb.queues import DAY, HOUR, first_sent_after
from asgi_redis.stores.lmdb.records import (
    AFTER_QUEUE,
    COUNTERS,
    COUNTERS_KEY,
    FIRST_GROUP,
    FIRST_QUEUE,
    MESSAGE,
    STATE,
    State,
    now,
)


def of_channel(environment: Environment, txn: Any, key: bytes, expiry: float) -> tuple[int, int, int, float]:
    """Returns how many messages were sent and refused, how many wait, and the age of the oldest of those."""
    at = now()
    environment.check(at)
    value = txn.get(key)
    if value is None:
        return 0, 0, 0, 0.0
    state = State.of(value)
    head = first_sent_after(txn, key, state.head, state.tail, at - expiry)
    age = 0.0
    if head < state.tail:
        age = at - MESSAGE.unpack_from(txn.get(key + head.to_bytes(8, "big")))[0]
    kept = at - state.last <= HOUR
    return state.sent if kept else 0, state.refused if kept else 0, state.tail - head, age


def of_all(environment: Environment, txn: Any) -> tuple[int, int]:
    """Returns how many messages were sent and refused in all, until a day passed without any."""
    environment.check(now())
    value = txn.get(COUNTERS_KEY)
    counted = [COUNTERS.unpack(value)] if value else []
    counted += [(state.sent, state.refused, state.last) for _, state, _ in states(txn)]
    sent, refused, since = 0, 0, now()
    for more_sent, more_refused, last in sorted(counted, key=lambda one: one[2], reverse=True):
        if since - last > DAY:
            break
        sent, refused, since = sent + more_sent, refused + more_refused, last
    return sent, refused


def contents(environment: Environment, txn: Any) -> tuple[int, int, int]:
    """Returns how many messages there are, how many groups, and how many bytes of memory they take."""
    messages = sum(state.tail - state.head for _, state, _ in states(txn))
    groups, key = 0, FIRST_GROUP
    with txn.cursor() as cursor:
        while cursor.set_range(key) and cursor.key()[:1] == FIRST_GROUP:
            groups += 1
            key = cursor.key().partition(b"\0")[0] + b"\1"
    return messages, groups, os.fstat(environment.fd).st_blocks * 512


def states(txn: Any) -> Iterator[tuple[bytes, State, bytes]]:
    """Yields the key of each queue, its state, and the mailboxes that wait for it."""
    with txn.cursor() as cursor:
        key = FIRST_QUEUE
        while cursor.set_range(key) and cursor.key()[:1] == FIRST_QUEUE:
            key, value = cursor.item()
            yield key, State.of(value), value[STATE.size :]
            key += AFTER_QUEUE
