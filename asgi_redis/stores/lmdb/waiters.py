"""
Which receivers wait, and which of them is woken for a message: one.

A receiver that waits has a record, and its mailbox is registered with all of its queues. Whoever puts a message into
one of them wakes the first that is registered there and waits: it sends a datagram to the mailbox, and notes in the
record for which queue, so that nobody takes a receiver that is on its way to one message for asleep beside another.
Mailboxes that come before it, of receivers that do not wait any more, are taken off the queue; who waits again
registers again.

A receiver that was woken ends its waiting in the transaction in which it takes a message, or gives up. If there is
still something in the queue that it was woken for then, it wakes the next one: it may have taken another message.

Datagrams are sent *within* the transaction. A sender that is killed before the commit has woken somebody for
nothing, who is still registered; a receiver looks under the writer's lock, so it sees what it was woken for, even
when it is faster than the commit. A receiver that is killed between being woken and taking the message takes nothing
with it; as nobody can tell, all that wait look by themselves every ``LOOK_SECONDS``.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from asgi_redis.stores.lmdb.mailbox import runs
from asgi_redis.stores.lmdb.records import FIRST_WAITER, MAILBOX, STATE, State, is_empty, queue_key

if TYPE_CHECKING:
    from asgi_redis.stores.lmdb.environment import Environment

LOOK_SECONDS = 1.0
_ASLEEP = b""  # what the record of a receiver holds that was not woken yet


def start(txn: Any, mailbox: bytes, queues: Iterable[str]) -> None:
    """The receiver at ``mailbox`` waits from now on for messages in ``queues``."""
    for queue in queues:
        key = queue_key(queue)
        value = txn.get(key) or State().to_bytes(b"")
        registered = value[STATE.size :]
        if registered != mailbox and mailbox not in split(registered):
            txn.put(key, value + mailbox)
    if txn.get(FIRST_WAITER + mailbox) != _ASLEEP:
        txn.put(FIRST_WAITER + mailbox, _ASLEEP)


def end(environment: Environment, txn: Any, mailbox: bytes) -> None:
    """It waits no longer, and has taken what it wanted."""
    queue = txn.pop(FIRST_WAITER + mailbox)
    if queue:
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
