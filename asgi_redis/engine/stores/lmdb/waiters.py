"""
Waking one waiting receiver for each message.

A waiting receiver has a record, and the address of its wakeup socket is registered with all of its queues. The sender
of a message wakes the first registered receiver that waits: it sends a datagram to its socket, and notes in the
record for which queue. So a receiver that is on its way to one message is not woken for another while the next
receiver sleeps. Addresses that come before it belong to receivers that have stopped waiting. They are taken off the
queue, and registered again when their receivers wait again.

A woken receiver ends its wait in the transaction in which it takes a message, or gives up. If it has taken none from
the queue that it was woken for, and that still holds one, it wakes the next receiver.

Datagrams are sent *after* the commit: a receiver that is faster than the commit would only wait for the writer's
lock. A sender that is killed in between, or a receiver that is killed after it was woken, leaves the message where it
is. No other receiver learns of that, so all waiting receivers look by themselves every ``LOOK_SECONDS``. Where the
socket turns out to be gone, another transaction wakes the next receiver.
"""

from __future__ import annotations

import itertools
from collections.abc import Collection, Iterable

from asgi_redis.engine.stores.lmdb.environment import Environment
from asgi_redis.engine.stores.lmdb.queues import is_empty
from asgi_redis.engine.stores.lmdb.records import ADDRESS, FIRST_WAITER, STATE, QueueState, Txn, queue_key
from asgi_redis.engine.stores.lmdb.wakeup_sockets import WakeupSockets, runs

LOOK_SECONDS = 1.0
_ASLEEP = b""  # the record of a receiver that was not woken yet


def start(txn: Txn, address: bytes, queues: Iterable[str]) -> None:
    """Note that the receiver at ``address`` waits, and register it with ``queues``."""
    for queue in queues:
        key = queue_key(queue)
        value = txn.get(key) or QueueState().to_bytes()
        registered = value[STATE.size :]
        if registered != address and address not in split(registered):
            txn.put(key, value + address)
    if txn.get(FIRST_WAITER + address) != _ASLEEP:
        txn.put(FIRST_WAITER + address, _ASLEEP)


def end(sockets: WakeupSockets, txn: Txn, address: bytes, read: Collection[str] = ()) -> None:
    """
    Note that a receiver has stopped waiting.

    ``read`` are the queues that it has taken messages from. Wake another one if the message that it was woken for is
    still there.
    """
    queue = txn.pop(FIRST_WAITER + address)
    if queue and queue.decode() not in read:
        key = queue_key(queue.decode())
        value = txn.get(key)
        if value is not None and len(value) > STATE.size and not is_empty(txn, key):
            txn.put(key, value[: STATE.size] + wake_one(sockets, txn, queue, value[STATE.size :]))


def replace(environment: Environment, txn: Txn, at: float, gone: Iterable[bytes]) -> None:
    """Wake others in place of receivers that are ``gone``."""
    for address in gone:
        end(environment.sockets, txn, address)


def wake_one(sockets: WakeupSockets, txn: Txn, queue: bytes, addresses: bytes) -> bytes:
    """Wake the first of ``addresses`` whose receiver waits; return those behind it."""
    for at in range(0, len(addresses), ADDRESS.size):
        address = addresses[at : at + ADDRESS.size]
        record = FIRST_WAITER + address
        if txn.get(record) == _ASLEEP:
            txn.put(record, queue)
            sockets.chosen.append(address)
            return addresses[at + ADDRESS.size :]
    return b""


def waiting(txn: Txn, addresses: bytes) -> bytes:
    """Return those of ``addresses`` whose receivers wait."""
    return b"".join(address for address in split(addresses) if txn.get(FIRST_WAITER + address) is not None)


def records(txn: Txn) -> list[tuple[bytes, bytes]]:
    """Return the records of all receivers that wait."""
    with txn.cursor() as cursor:
        cursor.set_range(FIRST_WAITER)
        return list(itertools.takewhile(lambda record: record[0][:1] == FIRST_WAITER, cursor))


def sweep(txn: Txn, record: bytes) -> bool:
    """Remove a record if its process was killed; return whether it was."""
    return not runs(ADDRESS.unpack(record[len(FIRST_WAITER) :])[0]) and bool(txn.delete(record))


def split(addresses: bytes) -> list[bytes]:
    """Return the addresses in the record of a queue."""
    return [addresses[at : at + ADDRESS.size] for at in range(0, len(addresses), ADDRESS.size)]
