"""The contract of the stores of messages that need no server."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple, Protocol

from asgi_redis.engine.facts import Found
from asgi_redis.wire.message import Counter, Limits

KEPT_SECONDS = 3600.0
"""How long the counters of a queue are kept after its last message."""
TOTAL_KEPT_SECONDS = 86400.0
"""How long the counters of all queues together are kept after the last message."""

Push = tuple[str, str, bytes, int]
"""A message to send: its queue, its channel, its bytes, the capacity of the queue."""
TakenMessage = tuple[str, str, bytes]
"""A message that was taken: its queue, the full name of its channel, its bytes."""
Taken = list[TakenMessage]


class Counters(NamedTuple):
    """Numbers of messages, in the order of ``wire.message.COUNTERS``."""

    sent: int = 0
    refused: int = 0
    expired: int = 0
    undecodable: int = 0
    requeued: int = 0
    retried: int = 0


class ChannelCounters(NamedTuple):
    """The counters of a queue, the number and the greatest age of its messages."""

    counters: Counters
    pending: int
    oldest: float


class StoredMessage(NamedTuple):
    """A message that waits: the name of its channel, its age in seconds, its bytes."""

    channel: str
    age: float
    entry: bytes


class StoredReport(NamedTuple):
    """The last report of a process, its age in seconds."""

    process: str
    age: float
    report: bytes


class StoreListener(Protocol):
    """A receiver that waits for messages: a context manager."""

    look_seconds: float
    """The longest wait: a receiver that was woken for a message may be killed."""

    def __enter__(self) -> StoreListener: ...

    def __exit__(self, *exc_info: object) -> None: ...

    def fileno(self) -> int:
        """Return a descriptor that is readable once there may be a message."""

    def pop(self, queues: Sequence[str], limit: int, expiry: float, limits: Limits = None) -> Taken:
        """
        Take messages as ``Store.pop`` does.

        ``queues`` are the queues that it listens to, in any order. Where there is no message, it begins to wait: it
        is unreadable until one comes.
        """

    def wake(self) -> None:
        """Make it readable; for any thread, and for signal handlers."""


class Store(Protocol):
    """
    Queues and groups.

    A queue is named by its channels up to and including their ``!``. First in, first out within a queue. Safe to
    share by threads, greenlets and processes forked later.
    """

    def push(self, entries: Sequence[Push], expiry: float) -> list[bool | None]:
        """
        Put messages into their queues, in one atomic step; return which were put.

        False: the queue holds as many that have not expired as its capacity; None: the memory of the store is used
        up. Both are counted.
        """

    def pop(self, queues: Sequence[str], limit: int, expiry: float, limits: Limits = None) -> Taken:
        """
        Take up to ``limit`` messages that have not expired.

        Take one of each queue in turn, of the first queues first, and no more than ``limits[queue]`` of a queue that
        is in there.
        """

    def listen(self, queues: Sequence[str]) -> StoreListener:
        """Return a listener to messages in any of ``queues``."""

    def group_add(self, group: str, channel: str, group_expiry: float) -> None:
        """Add a channel to a group for ``group_expiry`` seconds, or renew that."""

    def group_discard(self, group: str, channel: str) -> None:
        """Remove a channel from a group, if it is in there."""

    def group_channels(self, group: str, group_expiry: float) -> list[str]:
        """Return the channels of a group that were added within ``group_expiry`` seconds."""

    def count(self, queue: str, counter: Counter, number: int) -> None:
        """
        Add to a counter of a queue, and to that of all queues.

        Of all queues only for a single-reader channel, or where ``queue`` is empty. Raises nothing where the store
        cannot be written to.
        """

    def channel_statistics(self, queue: str, expiry: float) -> ChannelCounters:
        """Return the counters of a queue, and the number and age of its messages."""

    def global_statistics(self) -> Counters:
        """Return the counters of all queues."""

    def sweep(self, group_expiry: float) -> Iterator[Found]:
        """Go through all queues and groups, in short steps of some hundred."""

    def peek(self, queue: str, limit: int, expiry: float) -> list[StoredMessage]:
        """Return the first messages of a queue that have not expired; they stay there."""

    def purge(self, queue: str, expiry: float) -> int:
        """Remove the messages of a queue; return how many had not expired."""

    def report(self, process: str, report: bytes) -> str | None:
        """Store the report of a process; return the request to it that was left meanwhile."""

    def withdraw(self, process: str) -> None:
        """Remove the report of a process, and a request to it."""

    def reports(self) -> list[StoredReport]:
        """Return the reports that are at most ``REPORT_EXPIRY_SECONDS`` old."""

    def ask(self, process: str, request: str) -> bool:
        """Leave a request for a process; return whether there is a report of it."""

    def flush(self) -> None:
        """Remove all messages, groups, counters and reports."""

    def close(self) -> None:
        """Release the resources of this object; it stays usable."""
