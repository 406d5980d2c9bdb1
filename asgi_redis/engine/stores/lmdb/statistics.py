"""Counting what is in a store, and what has gone through it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

from asgi_redis.engine.stores.lmdb.environment import Environment
from asgi_redis.engine.stores.lmdb.queues import DAY, HOUR, first_unexpired
from asgi_redis.engine.stores.lmdb.records import (
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
from asgi_redis.engine.stores.store import ChannelCounters, Counters


def of_channel(environment: Environment, txn: Any, key: bytes, expiry: float) -> ChannelCounters:
    """Returns the counters of the queue with that key, and what waits in it."""
    at = now()
    environment.check(at)
    value = txn.get(key)
    if value is None:
        return ChannelCounters(0, 0, 0, 0, 0.0)
    state = State.of(value)
    head = first_unexpired(txn, key, state.head, state.tail, at - expiry)
    age = 0.0
    if head < state.tail:
        age = at - MESSAGE.unpack_from(txn.get(key + head.to_bytes(8, "big")))[0]
    expired = state.expired + head - state.head
    counters = (state.sent, state.refused, expired) if at - state.last <= HOUR else (0, 0, 0)
    return ChannelCounters(*counters, state.tail - head, age)


def of_all(environment: Environment, txn: Any) -> Counters:
    """Returns the counters of all queues together, until a day passed without any message."""
    environment.check(now())
    value = txn.get(COUNTERS_KEY)
    counted = [COUNTERS.unpack(value)] if value else []
    counted += [(state.sent, state.refused, state.expired, state.last) for _, state, _ in states(txn)]
    total, since = Counters(0, 0, 0), now()
    for *counters, last in sorted(counted, key=lambda one: one[-1], reverse=True):
        if since - last > DAY:
            break
        total, since = Counters(*map(sum, zip(total, counters))), last
    return total


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
    """Yields the key of each queue, its state, and the mailboxes registered with it."""
    with txn.cursor() as cursor:
        key = FIRST_QUEUE
        while cursor.set_range(key) and cursor.key()[:1] == FIRST_QUEUE:
            key, value = cursor.item()
            yield key, State.of(value), value[STATE.size :]
            key += AFTER_QUEUE
