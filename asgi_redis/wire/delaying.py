"""The operations of delayed messages: kept in one sorted set for each shard, that of the queue they go to."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from asgi_redis import scripts
from asgi_redis.wire.keys import Keys
from asgi_redis.wire.operation import Operation, command, number, script_head

MARGIN = 86400  # seconds that messages past their time are kept for workers that are away


class DelayOperations:
    """Makes the operations of one layer. ``sending`` are the arguments that every script that sends takes."""

    def __init__(self, keys: Keys, sending: Sequence[bytes]) -> None:
        self._keys = keys
        self._sending = sending

    def store(self, member: bytes, delay: float) -> Operation:
        """Keeps a member for ``delay`` seconds."""
        return self._store(member, delay, b"0")

    def put_off(self, kept: bytes, delay: float) -> Operation:
        """Keeps a member that is kept already for ``delay`` seconds from now. Reads as whether it was there."""
        return self._store(kept, delay, b"1")

    def _store(self, member: bytes, delay: float, again: bytes) -> Operation:
        arguments = (member, number(delay), b"%d" % MARGIN, again)
        head = script_head(scripts.STORE_DELAYED, (self._keys.delayed,), arguments)
        return Operation(head, bool, 1, scripts.STORE_DELAYED)

    def due(self, limit: int) -> Operation:
        """Reads as up to ``limit`` members that are due, and the seconds until the next one is, or None."""
        head = script_head(scripts.DUE_DELAYED, (self._keys.delayed,), (b"%d" % limit,))
        return Operation(head, _read_due, 1, scripts.DUE_DELAYED)

    def deliver(self, kept: bytes, queue: bytes, capacity: int, member: bytes, retry: float) -> Operation:
        """
        Moves a message from the delayed set to its queue, or puts it off for ``retry`` seconds.

        Reads as 1 delivered, 0 put off because the queue is full, 2 gone: somebody else has delivered it.
        """
        keys = (
            self._keys.delayed,
            self._keys.queue(queue),
            self._keys.counters(queue),
            self._keys.global_counters,
        )
        arguments = (b"%d" % capacity, *self._sending, b"%d" % MARGIN, number(retry), kept, member)
        return Operation(script_head(scripts.DELIVER_DELAYED, keys, arguments), int, 1, scripts.DELIVER_DELAYED)

    def discard(self, kept: bytes) -> Operation:
        """Drops a delayed message. Reads as whether it was there."""
        return Operation(command(b"ZREM", self._keys.delayed, kept), bool)


def _read_due(reply: list[Any]) -> tuple[list[bytes], float | None]:
    microseconds, *members = reply
    return members, None if microseconds < 0 else microseconds / 1000000
