"""Pushing messages into queues and taking them out, in one transaction each."""

from __future__ import annotations

import math
from collections.abc import Sequence

from asgi_redis.engine.stores.lmdb.data_file import FEW, DataFile
from asgi_redis.engine.stores.lmdb.environment import Environment
from asgi_redis.engine.stores.lmdb.queues import purge, retire, state_of
from asgi_redis.engine.stores.lmdb.records import (
    MESSAGE,
    STATE,
    Cursor,
    QueueState,
    Txn,
    messages_key,
    pack_message,
    pack_state,
    queue_key,
    unpack_message,
    unpack_state,
)
from asgi_redis.engine.stores.lmdb.sweeper import Sweeper
from asgi_redis.engine.stores.lmdb.waiters import wake_one
from asgi_redis.engine.stores.store import KEPT_SECONDS, Push, Taken
from asgi_redis.wire.expiry import is_expired
from asgi_redis.wire.message import Limits

_SHORT = 1024  # bytes of a message that takes no more pages than are kept spare
_ANY, _TRY_AGAIN = 1 << 62, -(1 << 62)
_OVERHEAD = 512  # bytes that a message takes in addition to its own, at most, if its queue is new
_PURGED_AT_ONCE = 500  # messages, so that no process waits long for the writer's lock
_STATE_BYTES = STATE.size
_NEW = QueueState(last=math.inf).to_bytes()


def push(
    environment: Environment,
    txn: Txn,
    at: float,
    sweeper: Sweeper,
    entries: Sequence[Push],
    expiry: float,
    ease: int = 0,
) -> list[bool | None] | None:
    """
    Put messages into their queues; return which were put.

    False: the queue is full; None: no room is left. Return None instead of the list when room was made, and there may
    be enough, and ``ease`` bytes, in the next transaction.
    """
    if at >= sweeper.next:
        sweeper.sweep(txn, at)
    room = _ANY  # small steps need not look at it
    if len(entries) > 1 or len(entries[0][2]) > _SHORT or txn.id() >= environment.data.look_at:
        room = _make_room(environment.data, txn, at, sweeper, entries, ease)
        if room == _TRY_AGAIN:
            return None
    pushed: list[bool | None] = []
    get, put = txn.get, txn.put
    whole = pack_message(at, 0)
    for queue, channel, message, capacity in entries:
        key = queue_key(queue)
        value = get(key, _NEW)
        head, tail, expired, sent, refused, last, _ = unpack_state(value)
        if tail - head >= capacity or at - last > KEPT_SECONDS:
            head, expired, sent, refused = _drop_expired(txn, key, value, at, expiry, capacity)
        addresses = value[_STATE_BYTES:]
        room -= len(message) + _OVERHEAD
        if tail - head < capacity and room > 0:
            start = whole if channel == queue else _start(at, channel[len(queue) :].encode())
            put(key + tail.to_bytes(8, "big"), start + message)
            tail += 1
            sent += 1
            pushed.append(True)
            if addresses:
                addresses = wake_one(environment.sockets, txn, queue.encode(), addresses)
        else:
            refused += 1
            pushed.append(False if tail - head >= capacity else None)
        put(key, pack_state(head, tail, expired, sent, refused, at, expiry) + addresses)
    return pushed


def _start(at: float, local: bytes) -> bytes:
    return pack_message(at, len(local)) + local


def _make_room(data: DataFile, txn: Txn, at: float, sweeper: Sweeper, entries: Sequence[Push], ease: int) -> int:
    needed = len(entries) * _OVERHEAD + sum([len(message) for _, _, message, _ in entries])
    room = data.room(txn, needed)
    if room < needed + ease and sweeper.press(txn, at):
        return _TRY_AGAIN
    if data.changeable(len(entries)) < len(entries):
        raise data.full()
    return room


def _drop_expired(
    txn: Txn, key: bytes, value: bytes, at: float, expiry: float, capacity: int
) -> tuple[int, int, int, int]:
    state = state_of(txn, key, value)
    if at - state.last > KEPT_SECONDS:
        retire(txn, state)
        state = state._replace(expired=0, sent=0, refused=0)
    head = purge(txn, key, state.head, state.tail, at, expiry, state.tail - state.head - capacity + 8)
    return head, state.expired + head - state.head, state.sent, state.refused


def refuse(environment: Environment, txn: Txn, at: float, entries: Sequence[Push]) -> list[bool | None]:
    """Count messages that no room is left for; return None for each."""
    for queue, *_ in entries:
        key = queue_key(queue)
        value = txn.get(key, _NEW)
        state = QueueState.of(value)
        txn.put(key, state._replace(refused=state.refused + 1, last=at).to_bytes(value[STATE.size :]))
    return [None] * len(entries)


def take(
    environment: Environment, txn: Txn, at: float, queues: Sequence[str], limit: int, expiry: float, limits: Limits
) -> tuple[Taken, bool]:
    """
    Take up to ``limit`` messages, one of each queue in turn.

    Take no more than ``limits[queue]`` of one queue. Return them, and whether it has looked at all queues: it has not
    when so many messages had expired, or so many queues had some.
    """
    taken: Taken = []
    again: list[str] = []
    budget, widest, wide = _PURGED_AT_ONCE, FEW, 0
    share = limit if len(queues) == 1 else 1
    with txn.cursor() as cursor:
        for queue in queues:
            first = messages_key(queue)
            if not (cursor.set_range(first) and cursor.key().startswith(first)):
                continue
            if wide == widest:
                widest = environment.data.changeable(len(queues))
                if wide == widest:
                    return taken, False
            wide += 1
            most = share if limits is None else min(share, limits.get(queue, share))
            budget -= _take_from(txn, cursor, queue, at, expiry, most, budget, taken)
            if len(taken) == limit or not budget:
                return taken, budget > 0
            again.append(queue)
        if share == 1:
            _take_in_turn(txn, cursor, at, expiry, again, limit, limits, taken)
    return taken, True


def _take_in_turn(
    txn: Txn, cursor: Cursor, at: float, expiry: float, queues: list[str], limit: int, limits: Limits, taken: Taken
) -> None:
    """Take more messages of ``queues``, of each of which one was taken."""
    turn = 1
    while queues:
        again = []
        for queue in queues:
            first = messages_key(queue)
            allowed = limits is None or limits.get(queue, limit) > turn
            if allowed and cursor.set_range(first) and cursor.key().startswith(first):
                _take_from(txn, cursor, queue, at, expiry, 1, 1, taken)
                if len(taken) == limit:
                    return
                again.append(queue)
        queues = again
        turn += 1


def _take_from(
    txn: Txn, cursor: Cursor, queue: str, at: float, expiry: float, most: int, budget: int, taken: Taken
) -> int:
    """
    Take up to ``most`` messages of the queue at whose first message ``cursor`` is.

    Return how many had expired; stop at ``budget`` of them.
    """
    first = messages_key(queue)
    expired = 0
    more = True
    while more:
        value = cursor.value()
        cursor.delete()
        sent, length = unpack_message(value)
        if is_expired(at - sent, expiry):
            expired += 1
            more = expired < budget
        else:
            start = MESSAGE.size + length
            channel = queue + value[MESSAGE.size : start].decode() if length else queue
            taken.append((queue, channel, value[start:]))
            most -= 1
            more = most > 0
        more = more and cursor.key().startswith(first)
    if expired or "?" in queue:
        _note_taken(txn, queue, expired)
    return expired


def _note_taken(txn: Txn, queue: str, expired: int) -> None:
    """Count expired messages; remove a single-reader channel that is empty."""
    key = queue_key(queue)
    value = txn.get(key)
    assert value is not None
    state = state_of(txn, key, value)
    state = state._replace(expired=state.expired + expired)
    if state.head == state.tail and "?" in queue and len(value) == STATE.size:
        retire(txn, state)
        txn.delete(key)
    elif expired:
        txn.put(key, state.to_bytes(value[STATE.size :]))
