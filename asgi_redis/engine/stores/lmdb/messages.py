"""Pushing messages into queues and taking them out, in one transaction each."""

from __future__ import annotations

import math
from collections.abc import Sequence

from asgi_redis.engine.stores.lmdb.data_file import FEW, DataFile
from asgi_redis.engine.stores.lmdb.environment import Environment
from asgi_redis.engine.stores.lmdb.queues import purge, retire
from asgi_redis.engine.stores.lmdb.records import (
    MESSAGE,
    READ,
    STATE,
    QueueState,
    Txn,
    pack_message,
    pack_read,
    pack_state,
    queue_key,
    unpack_message,
    unpack_read,
    unpack_state,
)
from asgi_redis.engine.stores.lmdb.sweeper import Sweeper
from asgi_redis.engine.stores.lmdb.waiters import wake_one
from asgi_redis.engine.stores.store import KEPT_SECONDS, Push, Taken, TakenMessage
from asgi_redis.wire.expiry import is_expired
from asgi_redis.wire.message import Limits

_SHORT = 1024  # bytes of a message that takes no more pages than are kept spare
_ANY, _TRY_AGAIN = 1 << 62, -(1 << 62)
_OVERHEAD = 512  # bytes that a message takes in addition to its own, at most, if its queue is new
_PURGED_AT_ONCE = 500  # messages, so that no process waits long for the writer's lock
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
    if txn.id() >= environment.data.look_at or len(entries) > 1 or len(entries[0][2]) > _SHORT:
        room = _make_room(environment.data, txn, at, sweeper, entries, ease)
        if room == _TRY_AGAIN:
            return None
    pushed: list[bool | None] = []
    for queue, channel, message, capacity in entries:
        room -= len(message) + _OVERHEAD
        key = queue_key(queue)
        value = txn.get(key, _NEW)
        head, tail, expired, sent, refused, last, _ = unpack_state(value)
        if tail - head >= capacity or at - last > KEPT_SECONDS:
            head, expired, sent, refused = _drop_expired(txn, key, value, at, expiry, capacity)
        addresses = value[STATE.size :]
        if tail - head < capacity and room > 0:
            local = channel[len(queue) :].encode()
            txn.put(key + tail.to_bytes(8, "big"), pack_message(at, len(local)) + local + message)
            tail += 1
            sent += 1
            pushed.append(True)
            if addresses:
                addresses = wake_one(environment.sockets, txn, queue.encode(), addresses)
        else:
            refused += 1
            pushed.append(False if tail - head >= capacity else None)
        txn.put(key, pack_state(head, tail, expired, sent, refused, at, expiry) + addresses)
    return pushed


def _make_room(data: DataFile, txn: Txn, at: float, sweeper: Sweeper, entries: Sequence[Push], ease: int) -> int:
    needed = sum([len(message) + _OVERHEAD for _, _, message, _ in entries])
    room = data.room(txn, needed)
    if room < needed + ease and sweeper.press(txn, at):
        return _TRY_AGAIN
    if data.changeable(len(entries)) < len(entries):
        raise data.full()
    return room


def _drop_expired(
    txn: Txn, key: bytes, value: bytes, at: float, expiry: float, capacity: int
) -> tuple[int, int, int, int]:
    state = QueueState.of(value)
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
    environment: Environment,
    txn: Txn,
    at: float,
    queues: Sequence[str],
    limit: int,
    expiry: float,
    limits: Limits,
    address: bytes | None = None,
) -> tuple[Taken, list[str] | None]:
    """
    Take up to ``limit`` messages, one of each queue in turn.

    Take no more than ``limits[queue]`` of one queue. Return them, and the queues that the receiver at ``address`` may
    not be registered with, or None when so many messages had expired, or so many queues had some, that it has not
    looked at all queues.
    """
    taken: Taken = []
    cursors: list[QueueCursor] = []
    unregistered: list[str] = []
    budget, widest = _PURGED_AT_ONCE, FEW
    for queue in queues:
        key = queue_key(queue)
        value = txn.get(key)
        if value is None or value[:8] == value[8:16]:  # head and tail: it is empty
            if address is not None and (value is None or value[STATE.size :] != address):
                unregistered.append(queue)
            continue
        if len(cursors) == widest:
            widest = environment.data.changeable(len(queues))
            if len(cursors) == widest:
                budget = 0
                break
        cursor = QueueCursor(queue, key, value, limit if limits is None else limits.get(queue, limit))
        cursors.append(cursor)
        message, budget = cursor.take_first(txn, at, expiry, budget)
        if message is not None:
            taken.append(message)
        if len(taken) == limit or not budget:
            break
    if not budget:
        _store(txn, cursors)
        return taken, None
    if len(taken) < limit:
        _take_in_turn(txn, at, expiry, cursors, limit, taken)
    _store(txn, cursors)
    return taken, unregistered if address is None else unregistered + [cursor.queue for cursor in cursors]


def _take_in_turn(txn: Txn, at: float, expiry: float, cursors: list[QueueCursor], limit: int, taken: Taken) -> None:
    while len(taken) < limit:
        cursors = [cursor for cursor in cursors if cursor.left and cursor.head < cursor.tail]
        if not cursors:
            return
        for cursor in cursors[: limit - len(taken)]:
            message = cursor.take(txn, at, expiry)
            if message is not None:
                taken.append(message)


def _store(txn: Txn, cursors: list[QueueCursor]) -> None:
    for cursor in cursors:
        read = pack_read(cursor.head, cursor.tail, cursor.expired)
        if cursor.head == cursor.tail and b"?" in cursor.key and len(cursor.value) == STATE.size:
            # A single-reader channel that was read leaves nothing behind.
            retire(txn, QueueState.of(cursor.value)._replace(expired=cursor.expired))
            txn.delete(cursor.key)
        elif not cursor.value.startswith(read):
            txn.put(cursor.key, read + cursor.value[READ.size :])


class QueueCursor:
    """The position of one taking in a queue."""

    __slots__ = ("expired", "head", "key", "left", "queue", "tail", "value")

    def __init__(self, queue: str, key: bytes, value: bytes, limit: int) -> None:
        self.queue = queue
        self.key = key
        self.value = value
        self.left = limit
        self.head, self.tail, self.expired = unpack_read(value)

    def take_first(self, txn: Txn, at: float, expiry: float, budget: int) -> tuple[TakenMessage | None, int]:
        """Take the first unexpired message; drop up to ``budget`` expired ones before it."""
        message = self.take(txn, at, expiry)
        if message is None:
            first = purge(txn, self.key, self.head, self.tail, at, expiry, budget - 1)
            self.expired += first - self.head
            budget -= 1 + first - self.head
            self.head = first
            if budget and first < self.tail:
                message = self.take(txn, at, expiry)
        return message, budget

    def take(self, txn: Txn, at: float, expiry: float) -> TakenMessage | None:
        """Take the first message; return None if it had expired."""
        value = txn.pop(self.key + self.head.to_bytes(8, "big"))
        assert value is not None
        self.head += 1
        sent, length = unpack_message(value)
        if is_expired(at - sent, expiry):
            self.expired += 1
            return None
        self.left -= 1
        start = MESSAGE.size + length
        channel = self.queue + value[MESSAGE.size : start].decode() if length else self.queue
        return self.queue, channel, value[start:]
