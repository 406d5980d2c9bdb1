"""Taking messages out of the queues of a store."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from asgi_redis.engine.stores.lmdb.environment import FEW, Environment
from asgi_redis.engine.stores.lmdb.queues import retire
from asgi_redis.engine.stores.lmdb.records import MESSAGE, READ, STATE, State, now, pack_read, queue_key, unpack_read
from asgi_redis.engine.stores.store import Entry
from asgi_redis.wire.expiry import is_expired

Taken = list[tuple[str, Entry]]

_REGISTERED = STATE.size  # where the mailboxes begin
_PURGED_AT_ONCE = 500  # messages, so that nobody waits long for the writer's lock


def take(
    environment: Environment,
    txn: Any,
    queues: Sequence[str],
    limit: int,
    expiry: float,
    limits: Mapping[str, int] | None,
    mailbox: bytes | None = None,
) -> tuple[Taken, list[str] | None]:
    """
    Takes up to ``limit`` messages: one of each queue in turn, no more than ``limits[queue]`` of one.

    Returns (queue, entry) tuples; and the queues that ``mailbox`` may not be registered with, or None when it has
    stopped since so many had expired or so many queues had some.
    """
    at = now()
    if at >= environment.check_at:
        environment.check(at)
    taken: Taken = []
    readings: list[Reading] = []
    unregistered: list[str] = []
    purgeable, widest = _PURGED_AT_ONCE, FEW
    for queue in queues:
        key = queue_key(queue)
        value = txn.get(key)
        if value is None or value[:8] == value[8:16]:  # head and tail: it is empty
            if mailbox is not None and (value is None or value[_REGISTERED:] != mailbox):
                unregistered.append(queue)
            continue
        if len(readings) == widest:
            widest = environment.changeable(len(queues))
            if len(readings) >= widest:
                _store(txn, readings)
                return taken, None
        reading = Reading(queue, key, value, limit if limits is None else limits.get(queue, limit))
        readings.append(reading)
        entry, purgeable = reading.take(txn, at, expiry, purgeable)
        if entry is not None:
            taken.append((queue, entry))
        if len(taken) == limit or not purgeable:
            break
    going_on = readings
    while len(taken) < limit:
        going_on = [reading for reading in going_on if reading.left and reading.head < reading.tail]
        if not going_on or not purgeable:
            break
        for reading in going_on:
            entry, purgeable = reading.take(txn, at, expiry, purgeable)
            if entry is not None:
                taken.append((reading.queue, entry))
            if len(taken) == limit or not purgeable:
                break
    _store(txn, readings)
    if not purgeable:
        return taken, None
    if mailbox is not None:
        unregistered += [reading.queue for reading in readings]
    return taken, unregistered


def _store(txn: Any, readings: list[Reading]) -> None:
    for reading in readings:
        read = pack_read(reading.head, reading.tail, reading.expired)
        if reading.head == reading.tail and b"?" in reading.key and len(reading.value) == STATE.size:
            # A single-reader channel that was read leaves nothing behind.
            retire(txn, State.of(reading.value)._replace(expired=reading.expired))
            txn.delete(reading.key)
        elif not reading.value.startswith(read):
            txn.put(reading.key, read + reading.value[READ.size :])


class Reading:
    """Where the reading of a queue is."""

    __slots__ = ("expired", "head", "key", "left", "queue", "tail", "value")

    def __init__(self, queue: str, key: bytes, value: bytes, most: int) -> None:
        self.queue = queue
        self.key = key
        self.value = value
        self.left = most
        self.head, self.tail, self.expired = unpack_read(value)

    def take(self, txn: Any, at: float, expiry: float, purgeable: int) -> tuple[Entry | None, int]:
        """
        Takes the first message that has not expired, if there is one; drops up to ``purgeable`` that have.

        Returns it, and how many more may be dropped.
        """
        while self.head < self.tail and purgeable:
            value = txn.pop(self.key + self.head.to_bytes(8, "big"))
            self.head += 1
            sent, length = MESSAGE.unpack_from(value)
            if not is_expired(at - sent, expiry):
                self.left -= 1
                start = MESSAGE.size + length
                channel = self.queue + value[MESSAGE.size : start].decode() if length else self.queue
                return Entry(channel, value[start:], at - sent), purgeable
            purgeable -= 1
            self.expired += 1
        return None, purgeable
