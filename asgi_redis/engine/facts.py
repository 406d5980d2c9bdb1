"""The facts about a layer that monitors show, and the parts that give them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple, Protocol

from asgi_redis.wire.message import Message

Report = Mapping[str, Any]
"""The account that a process gives of itself; JSON can express it."""

QUIET = "quiet"
"""The request to a worker to take no more messages, finish those in progress, and end."""


class ProcessEntry(NamedTuple):
    """A process of a layer, and its report of ``age`` seconds ago."""

    process: str
    age: float
    report: Report


class Registry(Protocol):
    """
    The workers and interface processes of a layer, by their reports.

    An entry expires 15 seconds after its last report. All calls raise ``redis.exceptions.RedisError`` where a server
    cannot be reached.
    """

    def report(self, process: str, report: Report) -> str | None:
        """
        Write the entry of a process, in one round trip.

        Args:
            process: A name that no other process has, of the characters of a group name.
            report: Its entry, in place of the last one.

        Returns:
            A request to the process that was made meanwhile, such as ``QUIET``, or None.
        """

    def withdraw(self, process: str) -> None:
        """Delete the entry of a process, at its end."""

    def processes(self) -> list[ProcessEntry]:
        """Return the entries that have not expired, sorted by the names of the processes."""

    def ask(self, process: str, request: str) -> bool:
        """Leave a request for a process; return whether the process is in the registry."""


SERVERS_SECONDS = 1.1
"""How long servers may take to tell of themselves; the error of one that hangs takes a second."""


class ServerFacts(NamedTuple):
    """
    A server of a layer, as it answers now.

    ``latency`` is that of one round trip in seconds. A number is 0 where the server does not tell, and there is no
    limit where ``max_memory`` is 0. ``error`` says why it cannot be reached, and is empty otherwise.
    """

    name: str
    error: str = ""
    latency: float = 0.0
    role: str = ""
    version: str = ""
    used_memory: int = 0
    max_memory: int = 0
    clients: int = 0
    blocked_clients: int = 0
    commands_per_second: int = 0


class Found(NamedTuple):
    """
    The queues and groups that one step of a sweep has found.

    Numbers of messages by queue, and of members by group, on all servers; both may include some that have expired. A
    sweep finds each queue and each group once; seldom twice, where Redis resizes its table meanwhile. A queue without
    messages is found as long as it has counters, unless its name has a ``?``.
    """

    queues: Mapping[str, int]
    groups: Mapping[str, int]


class DelayedFacts(NamedTuple):
    """
    The delayed messages of a layer.

    ``messages`` wait for their time, ``waiting_for_room`` were due and found their channel full. ``next_due`` is in
    seconds from now, below 0 if that is past, and None where there is none. ``first`` has the channels of the
    next messages, each with the seconds until it is due; the name is empty where the message cannot be decoded.
    """

    messages: int
    waiting_for_room: int
    next_due: float | None
    first: Sequence[tuple[str, float]]


class PeekedMessage(NamedTuple):
    """
    A message that waits in a queue.

    ``age`` is in seconds, ``size`` in bytes. ``content`` is None where it was not asked for, or cannot be decoded. A
    process-local ``channel`` has its whole name only with the content, and where the message is for one channel.
    """

    channel: str
    age: float
    size: int
    content: Message | None


class Inspector(Protocol):
    """
    Looks at a layer without taking anything, and without write access.

    No command takes a server more than a few milliseconds, however much there is. All calls except ``servers`` raise
    ``redis.exceptions.RedisError`` where a server cannot be reached.
    """

    def servers(self, timeout: float = SERVERS_SECONDS) -> list[ServerFacts]:
        """
        Return the servers of the layer; none for a layer that needs no server.

        A server that takes longer than ``timeout`` seconds has an error.
        """

    def sweep(self) -> Iterator[Found]:
        """
        Go through all queues and groups, a step at a time.

        A step takes the server less than a millisecond, and often finds nothing; the caller chooses the pauses. A
        queue that exists from the first step to the last is found at least once, unless it moves to another node of
        a cluster meanwhile. A server that fails is left out, and its error is raised after the last step.
        """

    def delayed(self, limit: int = 0) -> DelayedFacts:
        """Return the delayed messages, with the first ``limit`` of them."""

    def peek(self, channel: str, limit: int, content: bool = False) -> list[PeekedMessage]:
        """
        Return the first messages of a channel, the oldest first, and leave them there.

        Messages that have expired are left out. A process-local name must end in ``!``, as to receive from, and is
        for everything under that prefix. With ``content`` they are decoded.
        """

    def purge(self, channel: str) -> int:
        """
        Delete the messages of a channel; return how many had not expired.

        Its counters stay, and so do messages that are delayed or wait for room in the channel. A process-local name
        must end in ``!``.
        """
