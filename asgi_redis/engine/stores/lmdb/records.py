"""
The records of a store: the keys and values of its one LMDB database.

=============================  =====================================================================
``c`` queue NUL                the queue's state, then 8 bytes for each receiver registered with it:
                               the address of its wakeup socket
``c`` queue NUL number         a message: when it was sent, the local part of its channel, its bytes
``g`` group NUL channel        a member: when it was added, and when that expires
``m`` address                  a receiver that waits: nothing, or the queue that it was woken for
``s``                          the counters of queues that are gone
``se`` queue                   further counters of the queue, in the order of ``COUNTERS``, and when
                               the last was added to; without a queue, those of all queues
``sr`` process                 the report of a process: when it came, the length of a request to the
                               process, the request, the report
``v``                          the format of the store, and the start of the machine that it is of
=============================  =====================================================================

A queue's messages are numbered up to ``tail``, without holes: they come and go at the ends only. Taking one does not
write to the state: its ``head`` was the number of the first message when the state was last written, or less. The
state stands right before the messages, so that a short queue is read and written within one page.

Times are seconds since the machine was started, suspended ones included: the one clock that is the same in all
processes and never set back. A time of day may jump, and ``CLOCK_MONOTONIC`` stands still while a laptop sleeps, so
that messages would outlive their expiry.
"""

from __future__ import annotations

import functools
import struct
import time
from typing import TYPE_CHECKING, NamedTuple

import lmdb

if TYPE_CHECKING:
    Cursor = lmdb.Cursor[bytes]
    Txn = lmdb.Transaction[bytes]
else:
    Cursor = lmdb.Cursor
    Txn = lmdb.Transaction

FORMAT = 3

STATE = struct.Struct("<QQQQQdd")  # head, tail, messages expired, sent, refused, when the last of those two, expiry
MESSAGE = struct.Struct("<dB")  # when it was sent, the length of the local part of its channel
MEMBER = struct.Struct("<dd")  # when it was added, when that expires
COUNTERS = struct.Struct("<QQQd")  # messages sent, refused, expired, when the last of the first two
EVENTS = struct.Struct("<QQQQQQd")  # the counters of ``wire.message.COUNTERS``, when the last was added to
REPORT = struct.Struct("<dH")  # when it came, the length of the request
ADDRESS = struct.Struct("<II")  # the process, the number of the wakeup socket in it

# Bound once, for the hot paths.
pack_state, unpack_state = STATE.pack, STATE.unpack_from
pack_message, unpack_message = MESSAGE.pack, MESSAGE.unpack_from

FIRST_QUEUE, FIRST_GROUP, FIRST_WAITER, COUNTERS_KEY, ABOUT_KEY = b"c", b"g", b"m", b"s", b"v"
FIRST_EVENTS, FIRST_REPORT = b"se", b"sr"
AFTER_QUEUE = b"\xff" * 9  # behind a queue's key: greater than the keys of all its messages

_CLOCK = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)  # macOS: CLOCK_MONOTONIC counts suspended time, too


def now() -> float:
    """Return the seconds since the machine was started."""
    return time.clock_gettime(_CLOCK)


@functools.lru_cache(maxsize=1024)
def queue_key(queue: str) -> bytes:
    """Return the key of the state of ``queue``."""
    return b"c%b\0" % queue.encode()


@functools.lru_cache(maxsize=1024)
def messages_key(queue: str) -> bytes:
    """Return the start of the keys of its messages: all numbers begin with 0."""
    return queue_key(queue) + b"\0"


def sent_at(txn: Txn, key: bytes, number: int) -> float:
    """Return when a message of the queue with that key was sent."""
    return float(unpack_message(txn.get(key + number.to_bytes(8, "big"), b""))[0])


def group_key(group: str) -> bytes:
    """Return the start of the keys of the members of ``group``."""
    return b"g%b\0" % group.encode()


class QueueState(NamedTuple):
    """The state of a queue."""

    head: int = 0
    tail: int = 0
    expired: int = 0
    sent: int = 0
    refused: int = 0
    last: float = 0.0
    expiry: float = 0.0

    @classmethod
    def of(cls, value: bytes) -> QueueState:
        """Return the state that a record holds."""
        return cls(*STATE.unpack_from(value))

    def to_bytes(self, addresses: bytes = b"") -> bytes:
        """Return the record."""
        return STATE.pack(*self) + addresses
