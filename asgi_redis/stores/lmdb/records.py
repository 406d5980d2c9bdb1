"""
How things are kept in the one LMDB database of a store: its keys and values.

=============================  ==================================================================
``c`` queue NUL                the queue's state, then 8 bytes for each mailbox that waits for it
``c`` queue NUL number         a message: when it was sent, the local part of its channel, its bytes
``g`` group NUL channel        a member: when it was added, and when that expires
``s``                          the counters of queues that are gone
``v``                          what the store is: its format, the boot that it belongs to, its prefix
=============================  ==================================================================

A queue's messages are numbered from ``head`` to ``tail``, without holes: they come and go at the ends only. The
state stands right before them, so that a short queue is read and written within one page.

Times are seconds since the machine was started, suspended ones included: the one clock that is the same in all
processes and never set back. A time of day may jump, and ``CLOCK_MONOTONIC`` stands still while a laptop sleeps, so
that messages would outlive their expiry.
"""

from __future__ import annotations

import functools
import struct
import time
from typing import NamedTuple

FORMAT = 1

STATE = struct.Struct("<QQQQdd")  # head, tail, messages sent, messages refused, when the last of them, expiry
ENDS = struct.Struct("<QQ")  # the first two of a state
MESSAGE = struct.Struct("<dB")  # when it was sent, the length of the local part of its channel
MEMBER = struct.Struct("<dd")  # when it was added, when that expires
COUNTERS = struct.Struct("<QQd")  # messages sent, messages refused, when the last of them
MAILBOX = struct.Struct("<II")  # the process, the number of the mailbox in it

pack_state, unpack_state, pack_message = STATE.pack, STATE.unpack_from, MESSAGE.pack  # for those in a hurry

FIRST_QUEUE, FIRST_GROUP, COUNTERS_KEY, ABOUT_KEY = b"c", b"g", b"s", b"v"
AFTER_QUEUE = b"\xff" * 9  # behind a queue's key: greater than the keys of all its messages

_CLOCK = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)  # macOS: CLOCK_MONOTONIC counts suspended time, too


def now() -> float:
    """Returns the seconds since the machine was started."""
    return time.clock_gettime(_CLOCK)


@functools.lru_cache(maxsize=1024)
def queue_key(queue: str) -> bytes:
    """Returns the key of the state of ``queue``."""
    return b"c%b\0" % queue.encode()


def group_key(group: str) -> bytes:
    """Returns what the keys of the members of ``group`` begin with."""
    return b"g%b\0" % group.encode()


class State(NamedTuple):
    """The state of a queue."""

    head: int = 0
    tail: int = 0
    sent: int = 0
    refused: int = 0
    last: float = 0.0
    expiry: float = 0.0

    @classmethod
    def of(cls, value: bytes) -> State:
        """Returns the state that a record holds."""
        return cls(*STATE.unpack_from(value))

    def to_bytes(self, mailboxes: bytes) -> bytes:
        """Returns the record."""
        return STATE.pack(*self) + mailboxes
