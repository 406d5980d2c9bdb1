"""The operations that send to a channel, and the arguments of all sending scripts."""

from __future__ import annotations

import math
from typing import NamedTuple

from asgi_redis.wire import scripts
from asgi_redis.wire.keys import Keys
from asgi_redis.wire.operation import Operation, bulk, milliseconds, number, script_head

CHANNEL_COUNTERS_SECONDS = 3600
"""How long the counters of a channel live on after its last message."""

GLOBAL_COUNTERS_SECONDS = 86400
"""How long the counters of a shard live on after the last message."""

MAX_SCRIPT_BYTES = 1 << 20
"""Bytes in one script, 1 KiB added for each message: Redis serves no other client meanwhile."""

_ONCE_HEAD = b"*15\r\n" + b"".join(map(bulk, (b"EVALSHA", scripts.SEND_ONCE.sha, b"4")))


class Witness(NamedTuple):
    """
    The proof in Redis that a message was sent.

    ``sender`` is a name that sends one message after the other, ``number`` that of the message, which rises.
    """

    sender: str
    number: int


class SendOperations:
    """Makes the operations of one layer, whose ``expiry`` is in seconds."""

    def __init__(self, keys: Keys, expiry: float) -> None:
        self._keys = keys
        self._arguments = send_arguments(expiry)

    def send_head(self, queue: bytes, capacity: int, count_full: bool) -> bytes:
        """Return the start of a send to ``queue``; the last shard tried counts refusals."""
        keys = (self._keys.queue(queue), self._keys.counters(queue), self._keys.global_counters)
        arguments = (b"%d" % capacity, *self._arguments, b"1" if count_full else b"0")
        return script_head(scripts.SEND, keys, arguments, more=1)

    @staticmethod
    def send(head: bytes, entry: bytes) -> Operation:
        """Reads as whether the message was sent; False: the channel is full."""
        # In one piece: of a message of megabytes each copy takes as long as hundreds of small messages.
        return Operation(b"".join((head, b"$%d\r\n" % len(entry), entry, b"\r\n")), bool, 1, scripts.SEND)

    def once_middle(self, queue: bytes, capacity: int, count_full: bool) -> bytes:
        """Return the middle of a ``send_once`` to ``queue``; as for ``send_head``."""
        keys = (self._keys.queue(queue), self._keys.counters(queue), self._keys.global_counters)
        return b"".join(map(bulk, (*keys, b"%d" % capacity, *self._arguments, b"1" if count_full else b"0")))

    def send_once(self, middle: bytes, witness: Witness, entry: bytes) -> Operation:
        """Reads as ``send`` does. Sends nothing where the ``witness`` is there."""
        sent = bulk(self._keys.sent(witness.sender))
        rest = bulk(b"%d" % witness.number) + bulk(entry)
        return Operation(_ONCE_HEAD + sent + middle + rest, bool, 1, scripts.SEND_ONCE)


def send_arguments(expiry: float) -> tuple[bytes, ...]:
    """Return the arguments of every script that sends: expiry and three TTLs."""
    return number(expiry), milliseconds(expiry), *counter_ttls(expiry)


def counter_ttls(expiry: float) -> tuple[bytes, bytes]:
    """Return the TTLs of the counters of a channel and of a shard."""
    # In a queue that fills up, where messages come less than expiry apart, the scripts renew one TTL in 16.
    least = math.ceil(32 * expiry)
    return b"%d" % max(CHANNEL_COUNTERS_SECONDS, least), b"%d" % max(GLOBAL_COUNTERS_SECONDS, least)
