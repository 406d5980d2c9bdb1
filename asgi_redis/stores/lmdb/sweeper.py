"""Removes what nobody reads any more: a few records at a time, by whoever writes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from asgi_redis.stores.lmdb import mailbox
from asgi_redis.stores.lmdb.queues import HOUR, purge, retire
from asgi_redis.stores.lmdb.records import AFTER_QUEUE, FIRST_GROUP, FIRST_QUEUE, MEMBER, STATE, State

_AT_ONCE = 20  # records looked at; a message adds two at most, so sweeping is faster than growing
_AT_ONCE_PRESSED = 50  # so few that the pages kept spare will do
_MESSAGES_AT_ONCE = 50
_PAUSE = 0.01  # seconds between two looks, where there was nothing to remove
_ROUND = 1.0  # seconds between two rounds


class Sweeper:
    """Goes around the queues and groups of a store. Each process has one of its own; they need not agree."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._position = FIRST_QUEUE
        self.next = 0.0
        """When it is time to look at some."""
        self._next_pressed = 0.0

    def press(self, txn: Any, at: float) -> None:
        """Looks at many, when there is no room. Counters of empty queues are over, too."""
        if at >= self._next_pressed:
            removed = self.sweep(txn, at, most=_AT_ONCE_PRESSED, pressed=True)
            self._next_pressed = at if removed else at + _PAUSE

    def sweep(self, txn: Any, at: float, most: int = _AT_ONCE, pressed: bool = False) -> bool:
        """
        Looks at up to ``most`` queues and members of groups, and removes those that are over; returns if it has any.

        ``pressed``: counters of empty queues are, too.
        """
        removed = False
        with txn.cursor() as cursor:
            for _ in range(most):
                if not cursor.set_range(self._position) or cursor.key()[:1] not in (FIRST_QUEUE, FIRST_GROUP):
                    self._position = FIRST_QUEUE
                    self.next = at + _ROUND
                    mailbox.sweep(self._directory)
                    return removed
                key, value = cursor.item()
                if key[:1] == FIRST_GROUP:
                    self._position = key + b"\0"
                    if at >= MEMBER.unpack(value)[1]:
                        removed |= txn.delete(key)
                else:
                    removed |= self._queue(txn, key, value, at, pressed)
        self.next = at if removed else at + _PAUSE
        return removed

    def _queue(self, txn: Any, key: bytes, value: bytes, at: float, pressed: bool) -> bool:
        state = State.of(value)
        head = purge(txn, key, state.head, state.tail, at - state.expiry, _MESSAGES_AT_ONCE)
        if head - state.head < _MESSAGES_AT_ONCE:
            self._position = key + AFTER_QUEUE
        waiting = value[STATE.size :]
        if head == state.tail and (pressed or at - state.last > HOUR or not state.last):
            waiting = mailbox.alive(waiting)
            if state.sent or state.refused:
                retire(txn, state.sent, state.refused, state.last)
                state = state._replace(sent=0, refused=0)
            if not waiting:
                txn.delete(key)
                return True
        changed = state._replace(head=head).to_bytes(waiting)
        if changed != value:
            txn.put(key, changed)
        return head != state.head
