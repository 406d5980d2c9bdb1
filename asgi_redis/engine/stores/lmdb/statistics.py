"""Counting messages, groups and bytes of a store."""

from __future__ import annotations

import operator
from collections.abc import Iterator

from asgi_redis.engine.stores.lmdb import events
from asgi_redis.engine.stores.lmdb.environment import Environment
from asgi_redis.engine.stores.lmdb.queues import first_number, first_unexpired, state_of
from asgi_redis.engine.stores.lmdb.records import (
    AFTER_QUEUE,
    COUNTERS,
    COUNTERS_KEY,
    FIRST_GROUP,
    FIRST_QUEUE,
    STATE,
    QueueState,
    Txn,
    queue_key,
    sent_at,
)
from asgi_redis.engine.stores.store import KEPT_SECONDS, TOTAL_KEPT_SECONDS, ChannelCounters, Counters


def of_channel(environment: Environment, txn: Txn, at: float, queue: str, expiry: float) -> ChannelCounters:
    """Return the counters of a queue, and the number and age of its messages."""
    key = queue_key(queue)
    found = events.counted(txn, queue, at)
    value = txn.get(key)
    if value is None:
        return ChannelCounters(found, 0, 0.0)
    state = state_of(txn, key, value)
    head = first_unexpired(txn, key, state.head, state.tail, at, expiry)
    age = at - sent_at(txn, key, head) if head < state.tail else 0.0
    expired = state.expired + head - state.head
    if at - state.last <= KEPT_SECONDS:
        found = _sum(found, Counters(state.sent, state.refused, expired))
    return ChannelCounters(found, state.tail - head, age)


def of_all(environment: Environment, txn: Txn, at: float) -> Counters:
    """Return the counters of all queues together."""
    value = txn.get(COUNTERS_KEY)
    counted = [COUNTERS.unpack(value)] if value else []
    counted += [(state.sent, state.refused, state.expired, state.last) for _, state, _ in states(txn)]
    total, since = Counters(), at
    for *counters, last in sorted(counted, key=lambda one: one[-1], reverse=True):
        if since - last > TOTAL_KEPT_SECONDS:
            break
        total, since = _sum(total, Counters(*counters)), last
    return _sum(total, events.counted(txn, "", at))


def _sum(one: Counters, other: Counters) -> Counters:
    return Counters(*map(operator.add, one, other))


def contents(environment: Environment, txn: Txn, at: float) -> tuple[int, int, int]:
    """Return the numbers of messages, groups and allocated bytes."""
    messages = sum(state.tail - first_number(txn, key, state.tail) for key, state, _ in states(txn))
    groups, key = 0, FIRST_GROUP
    with txn.cursor() as cursor:
        while cursor.set_range(key) and cursor.key()[:1] == FIRST_GROUP:
            groups += 1
            key = cursor.key().partition(b"\0")[0] + b"\1"
    return messages, groups, environment.data.allocated_bytes()


def states(txn: Txn) -> Iterator[tuple[bytes, QueueState, bytes]]:
    """Yield each queue: its key, the state in its record, its registered addresses."""
    with txn.cursor() as cursor:
        key = FIRST_QUEUE
        while cursor.set_range(key) and cursor.key()[:1] == FIRST_QUEUE:
            key, value = cursor.item()
            yield key, QueueState.of(value), value[STATE.size :]
            key += AFTER_QUEUE
