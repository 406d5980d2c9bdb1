"""What a store of messages does for the layers that need no server."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, Protocol


class Entry(NamedTuple):
    """A message that was taken out of a queue."""

    channel: str
    """The full name that it was sent to."""
    message: bytes
    age: float
    """Seconds since it was sent."""


class Counters(NamedTuple):
    """What has gone through all queues."""

    sent: int
    refused: int
    expired: int


class ChannelCounters(NamedTuple):
    """What has gone through a queue, how many messages wait in it, and the age of the oldest of them in seconds."""

    sent: int
    refused: int
    expired: int
    pending: int
    oldest: float


class Listener(Protocol):
    """Somebody who waits for messages: a context manager."""

    look_seconds: float
    """How long a wait may last before the next ``pop``: another receiver, woken for a message, may be killed."""

    def __enter__(self) -> Any: ...

    def __exit__(self, *exc_info: object) -> None: ...

    def fileno(self) -> int:
        """Returns what can be polled: readable once a queue may have got something, or after ``wake``."""

    def pop(
        self, queues: Sequence[str], limit: int, expiry: float, limits: Mapping[str, int] | None = None
    ) -> list[tuple[str, Entry]]:
        """
        Does what the store's ``pop`` does, with the queues that it listens to, in any order.

        Where there is no message, it begins to wait: it is unreadable until one comes.
        """

    def wake(self) -> None:
        """Makes it readable; for any thread, and for signal handlers."""


class Store(Protocol):
    """
    Queues and groups. A queue is named by its channels up to and including their ``!``.

    First in, first out within a queue. Safe to share by threads, greenlets and processes forked later.
    """

    def push(self, entries: Sequence[tuple[str, str, bytes, int]], expiry: float) -> list[bool | None]:
        """
        Puts (queue, channel, message, capacity) each into its queue, in one atomic step; returns which were put.

        False: the queue holds as many that have not expired as its capacity; None: the memory of the store is used
        up. Both are counted.
        """

    def pop(
        self, queues: Sequence[str], limit: int, expiry: float, limits: Mapping[str, int] | None = None
    ) -> list[tuple[str, Entry]]:
        """
        Takes up to ``limit`` messages: one of each queue in turn, of the first queues first; none that has expired.

        Takes no more than ``limits[queue]`` of a queue that is in there. Returns (queue, entry) tuples.
        """

    def group_add(self, group: str, channel: str, group_expiry: float) -> None:
        """Adds a channel to a group for ``group_expiry`` seconds, or renews that."""

    def group_discard(self, group: str, channel: str) -> None:
        """Removes a channel from a group, if it is in there."""

    def group_channels(self, group: str, group_expiry: float) -> list[str]:
        """Returns the channels of a group that were added within ``group_expiry`` seconds."""

    def channel_statistics(self, queue: str, expiry: float) -> ChannelCounters:
        """Returns the counters of a queue, until an hour has passed without a message, and what waits in it."""

    def global_statistics(self) -> Counters:
        """Returns the counters of all queues, until a day has passed without a message."""

    def flush(self) -> None:
        """Removes all messages, groups and counters."""

    def listen(self, queues: Sequence[str]) -> Listener:
        """Returns a listener to messages in any of ``queues``."""

    def close(self) -> None:
        """Gives back what this object has open; it stays usable."""
