"""The operations of delayed messages, which wait on the shard of their queue."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

from asgi_redis.wire import scripts
from asgi_redis.wire.keys import Keys
from asgi_redis.wire.operation import Operation, command, number, run_script
from asgi_redis.wire.send import send_arguments

MARGIN_SECONDS = 86400
"""How long messages past their time stay in Redis while no process delivers them."""
_MARGIN = b"%d" % MARGIN_SECONDS


class DelayedEntry(NamedTuple):
    """A delayed message as it waits in Redis: the member of its set, and its score."""

    member: bytes
    due: bytes


class DueNow(NamedTuple):
    """Queues and messages that are due, and the seconds until more is, or None."""

    queues: list[bytes]
    messages: list[DelayedEntry]
    wait: float | None


class DelayOperations:
    """
    Makes the operations of one layer, whose ``expiry`` is in seconds.

    A message is in the delayed set until it is due. When its queue is full then, it moves to the set of messages that
    wait for room in that queue, where only the first is tried again.
    """

    def __init__(self, keys: Keys, expiry: float) -> None:
        self._keys = keys
        self._arguments = send_arguments(expiry)

    def store(self, member: bytes, delay: float) -> Operation:
        """Let a message wait for ``delay`` seconds."""
        arguments = (member, number(delay), _MARGIN)
        return run_script(scripts.STORE_DELAYED, (self._keys.delayed,), arguments)

    def due(self, limit: int, retry: float) -> Operation:
        """Reads as ``DueNow``. The queues are due again in ``retry`` seconds."""
        keys = (self._keys.delayed, self._keys.waiting_queues)
        return run_script(scripts.DUE_DELAYED, keys, (b"%d" % limit, number(retry)), _read_due)

    def deliver(self, entry: DelayedEntry, queue: bytes, capacity: int, member: bytes, waiting: bool) -> Operation:
        """
        Move a message to its queue.

        Reads as 1 delivered, 0 not delivered because the queue is full, or others wait for room in it before this
        one; 2 gone: another process has delivered it.
        """
        room = self._keys.waiting(queue)
        source = room if waiting else self._keys.delayed
        keys = (source, room, self._keys.queue(queue), self._keys.counters(queue), self._keys.global_counters)
        arguments = (b"%d" % capacity, *self._arguments, entry.member, member)
        return run_script(scripts.DELIVER_DELAYED, keys, arguments, int)

    def wait(self, entries: Iterable[DelayedEntry], queue: bytes, retry: float, taken: bool = False) -> Operation:
        """
        Let due messages wait for room in their queue, tried in ``retry`` seconds.

        ``taken``: they were discarded before. Reads as whether they are the first that wait there.
        """
        keys = (self._keys.delayed, self._keys.waiting(queue), self._keys.waiting_queues)
        arguments = [queue, number(retry), _MARGIN, b"1" if taken else b"0"]
        for entry in entries:
            arguments += entry
        return run_script(scripts.WAIT_DELAYED, keys, arguments)

    def waiting(self, queue: bytes, limit: int) -> Operation:
        """Reads as the first messages, up to ``limit``, that wait for room in a queue."""
        keys = (self._keys.waiting(queue), self._keys.waiting_queues)
        return run_script(scripts.LIST_WAITING, keys, (queue, b"%d" % limit, _MARGIN), _read_entries)

    def try_again(self, queue: bytes) -> Operation:
        """Make a queue that messages wait for due at once. Reads as nothing."""
        return Operation(command(b"ZADD", self._keys.waiting_queues, b"XX", b"0", queue), lambda _: None)

    def discard(self, entry: DelayedEntry, queue: bytes | None = None) -> Operation:
        """Drop a message that is delayed, or waits for room. Reads as whether it did."""
        source = self._keys.delayed if queue is None else self._keys.waiting(queue)
        return Operation(command(b"ZREM", source, entry.member), bool)


def _read_due(reply: list[Any]) -> DueNow:
    microseconds, queues, messages = reply
    return DueNow(queues, _read_entries(messages), None if microseconds < 0 else microseconds / 1000000)


def _read_entries(reply: list[bytes]) -> list[DelayedEntry]:
    return [DelayedEntry(*pair) for pair in zip(reply[::2], reply[1::2])]
