"""The store of ``IPCChannelLayer``: each step is a transaction on shared memory."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from pathlib import Path

import lmdb

from asgi_redis.engine.facts import Found
from asgi_redis.engine.stores.lmdb import events, groups, inspection, reports, statistics, waiters
from asgi_redis.engine.stores.lmdb.data_file import FEW, Full
from asgi_redis.engine.stores.lmdb.environment import Environment
from asgi_redis.engine.stores.lmdb.listener import LMDBListener
from asgi_redis.engine.stores.lmdb.messages import push, refuse, take
from asgi_redis.engine.stores.lmdb.records import ABOUT_KEY, FIRST_GROUP, FIRST_QUEUE, FIRST_REPORT, QueueState, Txn
from asgi_redis.engine.stores.lmdb.sharing import EnvironmentUser
from asgi_redis.engine.stores.lmdb.sweeper import Sweeper
from asgi_redis.engine.stores.store import ChannelCounters, Counters, Push, StoredMessage, StoredReport, Taken
from asgi_redis.exceptions import ChannelFull, UnusableStore
from asgi_redis.wire.message import Counter, Limits

logger = logging.getLogger("asgi_redis")

_EASE = 1 << 18  # bytes of room that are made at a time: not a few with each message


class LMDBStore(EnvironmentUser):
    """A store in the memory of this machine, for all processes of this user."""

    def __init__(self, directory: Path, max_bytes: int, repair: bool = True) -> None:
        super().__init__(directory, max_bytes, repair)
        self._sweeper = Sweeper(directory)

    def push(self, entries: Sequence[Push], expiry: float) -> list[bool | None]:
        """Put messages into their queues; return which were put, as ``Store.push`` says."""
        try:
            pushed = self.transact(push, self._sweeper, entries, expiry)
            while pushed is None:
                pushed = self.transact(push, self._sweeper, entries, expiry, _EASE)
            return pushed
        except Full:
            if len(entries) <= FEW:
                return self.transact(refuse, entries)
            middle = len(entries) // 2
            return self.push(entries[:middle], expiry) + self.push(entries[middle:], expiry)

    def pop(self, queues: Sequence[str], limit: int, expiry: float, limits: Limits = None) -> Taken:
        """Take up to ``limit`` messages, one of each queue in turn."""
        while True:
            taken, complete = self.transact(take, queues, limit, expiry, limits)
            if taken or complete:
                return taken

    def listen(self, queues: Sequence[str]) -> LMDBListener:
        """Return a listener to messages in any of ``queues``, for a ``with`` statement."""
        return LMDBListener(self, queues)

    def group_add(self, group: str, channel: str, group_expiry: float) -> None:
        """Add a channel to a group, or renew it. Raise ``ChannelFull`` without room."""
        try:
            while not self.transact(groups.add, self._sweeper, group, channel, group_expiry):
                pass  # room was made
        except Full as error:
            raise ChannelFull(str(error)) from error

    def group_discard(self, group: str, channel: str) -> None:
        """Remove a channel from a group, if it is in there."""
        self.transact(groups.discard, group, channel)

    def group_channels(self, group: str, group_expiry: float) -> list[str]:
        """Return the channels of a group that were added within ``group_expiry`` seconds."""
        channels, start = self.transact(groups.members, group, group_expiry, None)
        while start is not None:
            some, start = self.transact(groups.members, group, group_expiry, start)
            channels += some
        return channels

    def count(self, queue: str, counter: Counter, number: int) -> None:
        """Add to a counter of a queue, as ``Store.count`` says."""
        try:
            self.transact(events.add, queue, counter, number)
        except (OSError, lmdb.Error, UnusableStore) as error:
            # Counters cost no message: the others that were taken are returned.
            logger.debug("%s is not counted in the IPC store in %s: %s", counter, self.directory, error)

    def channel_statistics(self, queue: str, expiry: float) -> ChannelCounters:
        """Return the counters of a queue, and the number and age of its messages."""
        return self.transact(statistics.of_channel, queue, expiry)

    def global_statistics(self) -> Counters:
        """Return the counters of all queues."""
        return self.transact(statistics.of_all)

    def contents(self) -> tuple[int, int, int]:
        """Return the numbers of messages, groups and allocated bytes."""
        return self.transact(statistics.contents)

    def sweep(self, group_expiry: float) -> Iterator[Found]:
        """Go through all queues and groups, some hundred at a step."""
        start: bytes | None = FIRST_QUEUE
        begun: dict[str, int] = {}
        while start is not None:
            queues, start = self.transact(inspection.queues, start)
            yield Found(queues, {})
        start = FIRST_GROUP
        while start is not None:
            groups, start = self.transact(inspection.groups, group_expiry, start, begun)
            group = inspection.group_of(start) if start else ""
            begun = {group: groups.pop(group)} if group in groups else {}  # the next step goes on with it
            yield Found({}, groups)

    def peek(self, queue: str, limit: int, expiry: float) -> list[StoredMessage]:
        """Return the first messages of a queue that have not expired."""
        messages, number = self.transact(inspection.peek, queue, limit, expiry, 0)
        while len(messages) < limit:
            some, number = self.transact(inspection.peek, queue, limit - len(messages), expiry, number)
            if not some:
                break
            messages += some
        return messages

    def purge(self, queue: str, expiry: float) -> int:
        """Remove the messages of a queue; return how many had not expired."""
        purged, end = self.transact(inspection.purge_some, queue, expiry, None)
        while end is not None:
            some, end = self.transact(inspection.purge_some, queue, expiry, end)
            purged += some
        return purged

    def report(self, process: str, report: bytes) -> str | None:
        """Store the report of a process; return the request that was left for it."""
        return self.transact(reports.add, self._sweeper, process, report)

    def withdraw(self, process: str) -> None:
        """Remove the report of a process, and a request to it."""
        self.transact(reports.discard, process)

    def reports(self) -> list[StoredReport]:
        """Return the reports that have not expired."""
        found: list[StoredReport] = []
        start: bytes | None = FIRST_REPORT
        while start is not None:
            some, start = self.transact(reports.some, start)
            found += some
        return found

    def ask(self, process: str, request: str) -> bool:
        """Leave a request for a process; return whether there is a report of it."""
        return self.transact(reports.ask, process, request)

    def flush(self) -> None:
        """Remove messages, groups, counters and reports. Waiting receivers go on waiting."""
        self.transact(_flush)


def _flush(environment: Environment, txn: Txn, at: float) -> None:
    about = txn.get(ABOUT_KEY, b"")
    waiting = [(key, QueueState().to_bytes(addresses)) for key, _, addresses in statistics.states(txn) if addresses]
    waiting += waiters.records(txn)
    txn.drop(environment.data.lmdb.open_db(txn=txn), delete=False)
    txn.put(ABOUT_KEY, about)
    for key, value in waiting:
        txn.put(key, value)
