"""Removing expired records: each writer looks at a few."""

from __future__ import annotations

from pathlib import Path

from asgi_redis.engine.stores.lmdb import events, waiters, wakeup_sockets
from asgi_redis.engine.stores.lmdb.queues import purge, retire, state_of
from asgi_redis.engine.stores.lmdb.records import (
    AFTER_QUEUE,
    COUNTERS_KEY,
    FIRST_EVENTS,
    FIRST_GROUP,
    FIRST_QUEUE,
    FIRST_REPORT,
    FIRST_WAITER,
    MEMBER,
    REPORT,
    STATE,
    Txn,
)
from asgi_redis.engine.stores.store import KEPT_SECONDS
from asgi_redis.wire.expiry import is_expired, is_over
from asgi_redis.wire.registry import REPORT_EXPIRY_SECONDS

_AT_ONCE = 20  # records looked at; a message adds two at most, so sweeping is faster than growing
_AT_ONCE_PRESSED = 50  # so few that the spare pages suffice
_FRUITLESS = 20  # such looks in a row that find nothing to remove; then there is no room
_MESSAGES_AT_ONCE = 50
_PAUSE_SECONDS = 0.01  # between two looks, where there was nothing to remove
_SWEPT = (FIRST_QUEUE, FIRST_GROUP, FIRST_WAITER, COUNTERS_KEY)  # the first bytes of keys
_ROUND_SECONDS = 1.0  # between two rounds


class Sweeper:
    """Removes expired records, round after round. Each process has its sweeper."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._position = FIRST_QUEUE
        self.next = 0.0
        """When it is time to look at some records."""
        self._next_pressed = 0.0
        self._fruitless = 0

    def press(self, txn: Txn, at: float) -> bool:
        """
        Look at many records, when there is no room.

        Return whether another transaction may find more to remove. Queues without messages lose their counters, too.
        """
        if at < self._next_pressed:
            return False
        if self.sweep(txn, at, limit=_AT_ONCE_PRESSED, pressed=True):
            self._fruitless = 0
            return True
        self._fruitless = (self._fruitless + 1) % _FRUITLESS
        if not self._fruitless:
            self._next_pressed = at + _PAUSE_SECONDS
        return bool(self._fruitless)

    def sweep(self, txn: Txn, at: float, limit: int = _AT_ONCE, pressed: bool = False) -> bool:
        """
        Look at ``limit`` records, and remove expired ones; return whether it has any.

        ``pressed``: remove queues without messages, too, and begin a round as soon as the last one has ended.
        """
        removed = False
        with txn.cursor() as cursor:
            for _ in range(limit):
                if not cursor.set_range(self._position) or cursor.key()[:1] not in _SWEPT:
                    self._position = FIRST_QUEUE
                    if pressed:
                        continue
                    self.next = at + _ROUND_SECONDS
                    wakeup_sockets.sweep(self._directory)
                    return removed
                key, value = cursor.item()
                removed |= self._record(txn, key, value, at, pressed)
        self.next = at if removed else at + _PAUSE_SECONDS
        return removed

    def _record(self, txn: Txn, key: bytes, value: bytes, at: float, pressed: bool) -> bool:
        if key[:1] == FIRST_QUEUE:
            return self._queue(txn, key, value, at, pressed)
        self._position = key + b"\0"
        if key[:1] == FIRST_WAITER:
            return waiters.sweep(txn, key)
        if key[:1] == COUNTERS_KEY:
            return _is_old(key, value, at) and bool(txn.delete(key))
        return is_over(MEMBER.unpack(value)[1], at) and bool(txn.delete(key))

    def _queue(self, txn: Txn, key: bytes, value: bytes, at: float, pressed: bool) -> bool:
        state = state_of(txn, key, value)
        head = purge(txn, key, state.head, state.tail, at, state.expiry, _MESSAGES_AT_ONCE)
        if head - state.head < _MESSAGES_AT_ONCE:
            self._position = key + AFTER_QUEUE
        purged = head - state.head
        state = state._replace(head=head, expired=state.expired + purged)
        registered = value[STATE.size :]
        over = pressed or at - state.last > KEPT_SECONDS or not state.last or b"?" in key
        if head == state.tail and over:
            registered = waiters.waiting(txn, registered)
            retire(txn, state)
            state = state._replace(sent=0, refused=0, expired=0)
            if not registered:
                txn.delete(key)
                return True
        changed = state.to_bytes(registered)
        if changed != value:
            txn.put(key, changed)
        return bool(purged)


def _is_old(key: bytes, value: bytes, at: float) -> bool:
    if key.startswith(FIRST_EVENTS):
        return events.is_old(key, value, at)
    return key.startswith(FIRST_REPORT) and is_expired(at - REPORT.unpack_from(value)[0], REPORT_EXPIRY_SECONDS)
