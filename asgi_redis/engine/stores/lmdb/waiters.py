"""
Wakes one waiting receiver for each message.

A waiting receiver has a record, and its mailbox is registered with all of its queues. The sender of a message wakes
the first registered receiver that waits: it sends a datagram to the mailbox, and notes in the record for which queue.
So a receiver that is on its way to one message is not woken for another while the next receiver sleeps. Mailboxes
that come before it belong to receivers that have stopped waiting. They are taken off the queue, and registered again
when their receivers wait again.

A woken receiver ends its wait in the transaction in which it takes a message, or gives up. If it has taken none from
the queue that it was woken for, and that still holds one, it wakes the next receiver.

Datagrams are sent *within* the transaction. A sender that is killed before the commit has woken a receiver for
nothing, and that receiver is still registered. A receiver looks under the writer's lock, so it sees what it was woken
for, even when it is faster than the commit. A receiver that is killed after it was woken, and before it takes the
message, leaves the message where it is. Nothing tells of that, so all waiting receivers look by themselves every
``LOOK_SECONDS``.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from asgi_redis.engine.stores.lmdb.mailbox import runs
from asgi_redis.engine.stores.lmdb.records import FIRST_WAITER, MAILBOX, STATE, State, is_empty, queue_key

if TYPE_CHECKING:
    from asgi_redis.engine.stores.lmdb.environment import Environment

LOOK_SECONDS = 1.0
_ASLEEP = b""  # what the record of a receiver holds that was not woken yet


def start(txn: Any, mailbox: bytes, queues: Iterable[str]) -> None:
    """Notes that the receiver at ``mailbox`` waits, and registers it with ``queues``."""
    for queue in queues:
        key = queue_key(queue)
        value = txn.get(key) or State().to_bytes(b"")
        registered = value[STATE.size :]
        if registered != mailbox and mailbox not in split(registered):
            txn.put(key, value + mailbox)
    if txn.get(FIRST_WAITER + mailbox) != _ASLEEP:
        txn.put(FIRST_WAITER + mailbox, _ASLEEP)


def end(environment: Environment, txn: Any, mailbox: bytes, read: Iterable[str] = ()) -> None:
    """
    Notes that the receiver at ``mailbox`` has stopped waiting, with messages from the queues ``read``.

    Wakes another if the message that it was woken for is still there.
    """
    queue = txn.pop(FIRST_WAITER + mailbox)
    if queue and queue.decode() not in read:
        key = queue_key(queue.decode())
        value = txn.get(key)
        if value is not None and len(value) > STATE.size and not is_empty(value):
            txn.put(key, value[: STATE.size] + wake_one(environment, txn, queue, value[STATE.size :]))


def wake_one(environment: Environment, txn: Any, queue: bytes, mailboxes: bytes) -> bytes:
    """Wakes the first of ``mailboxes`` whose receiver waits, for ``queue``; returns those behind it."""
    for at in range(0, len(mailboxes), MAILBOX.size):
        mailbox = mailboxes[at : at + MAILBOX.size]
        record = FIRST_WAITER + mailbox
        if txn.get(record) == _ASLEEP:
            if environment.mailboxes.ring(mailbox):
                txn.put(record, queue)
                return mailboxes[at + MAILBOX.size :]
            txn.delete(record)
    return b""


def waiting(txn: Any, mailboxes: bytes) -> bytes:
    """Returns those of ``mailboxes`` whose receivers wait."""
    return b"".join(mailbox for mailbox in split(mailboxes) if txn.get(FIRST_WAITER + mailbox) is not None)


def records(txn: Any) -> list[tuple[bytes, bytes]]:
    """Returns the records of all receivers that wait."""
    with txn.cursor() as cursor:
        cursor.set_range(FIRST_WAITER)
        return list(itertools.takewhile(lambda record: record[0][:1] == FIRST_WAITER, cursor))


def sweep(txn: Any, record: bytes) -> bool:
    """Removes a record if its process was killed; returns whether it was."""
    return not runs(MAILBOX.unpack(record[len(FIRST_WAITER) :])[0]) and bool(txn.delete(record))


def split(mailboxes: bytes) -> list[bytes]:
    """Returns the mailboxes that the record of a queue holds."""
    return [mailboxes[at : at + MAILBOX.size] for at in range(0, len(mailboxes), MAILBOX.size)]
