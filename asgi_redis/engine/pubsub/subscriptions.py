"""All that a process listens to for one layer, and how its threads wait for messages."""

from __future__ import annotations

import contextlib
import itertools
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from threading import Condition
from typing import Any, TypeVar

from asgi_redis.connection import Shard
from asgi_redis.engine.outage import OutageNotices
from asgi_redis.engine.pubsub.listener import Listener
from asgi_redis.engine.pubsub.subscription import Arrived, Confirmation, Inbox, LocalGroup, Subscription
from asgi_redis.process import fork
from asgi_redis.wire.message import Message
from asgi_redis.wire.names import shard_of

_FORKED_SECONDS = 1.0  # after which a wait in a forked process, which nothing can end, ends itself
_LONG = 10  # times expiry that nobody reads a channel which is in no group: then nobody will

T = TypeVar("T")
Taken = list[tuple[str, bytes]]


class Subscriptions:
    """
    The channels and groups of this process. Threads may share it, processes not.

    ``expiry`` is the age in seconds at which messages are dropped, ``group_expiry`` how long members of groups may
    go unread. ``on_disconnect`` and ``on_reconnect`` are the types of messages for all channels, if any.
    """

    def __init__(
        self,
        shards: Sequence[Shard],
        expiry: float,
        group_expiry: float,
        on_disconnect: str | None,
        on_reconnect: str | None,
        serialize: Callable[[Message], bytes],
    ) -> None:
        self.expiry = expiry
        self.group_expiry = group_expiry
        self.notices = OutageNotices(
            on_disconnect, on_reconnect, lambda message: self._deliver_to_all(serialize(message))
        )
        self.sweep_interval = max(1.0, expiry / 2)
        self._shards = shards
        self._listeners: dict[int, Listener] = {}
        self.start_process()
        fork.register(self)

    def start_process(self) -> None:
        """Starts with nothing, and with nothing that was somebody else's."""
        for listener in self._listeners.values():
            listener.leave_to_parent()
        # Reentrant, because a signal handler or a finaliser may come anywhere.
        self._lock = threading.RLock()
        self.inboxes: dict[str, Inbox] = {}
        self.groups: dict[str, LocalGroup] = {}
        self.dropped_count = 0
        self._listeners = {}
        self._waiting: set[Condition] = set()
        self.unblocked = 0
        self._turns = itertools.count()
        self._delivered: dict[Callable[[list[Any]], object], list[Any]] | None = None

    @property
    def lock(self) -> threading.RLock:
        """What guards all of this."""
        fork.check()
        return self._lock

    # Channels and groups

    def open(self, channels: Iterable[str], capacity_of: Callable[[str], int]) -> list[Inbox]:
        """Returns the inbox of each channel, which is subscribed to if it was not; see ``confirm``."""
        opened = []
        with self.lock:
            for channel in channels:
                inbox = self.inboxes.get(channel)
                if inbox is None:
                    inbox = Inbox(channel, self._listener(channel), capacity_of(channel))
                    inbox.listener.add(inbox)
                    self.inboxes[channel] = inbox
                opened.append(inbox)
        return opened

    def join(self, group: str, name: str, channel: str) -> LocalGroup | None:
        """
        Makes ``channel`` a member of ``group``, whose name on Redis is ``name``; see ``confirm``.

        Returns None when nobody in this process receives from the channel.
        """
        with self.lock:
            inbox = self.inboxes.get(channel)
            if inbox is None:
                return None
            joined = self.groups.get(group)
            if joined is None:
                joined = LocalGroup(group, name, self._listener(name))
                joined.listener.add(joined)
                self.groups[group] = joined
            joined.members[channel] = inbox
            inbox.groups[group] = joined
            return joined

    def leave(self, group: str, channel: str) -> None:
        """Takes ``channel`` out of ``group``."""
        with self.lock:
            left = self.groups.get(group)
            if left is not None and channel in left.members:
                del left.members.pop(channel).groups[group]
                if not left.members:
                    self.end(left)

    def members(self, group: str) -> list[str]:
        """Returns the channels of this process that are in ``group``."""
        with self.lock:
            return list(self.groups[group].members) if group in self.groups else []

    def close_channel(self, channel: str) -> None:
        """Forgets a channel, what is in it and its memberships."""
        with self.lock:
            if channel in self.inboxes:
                self.end(self.inboxes[channel])

    def leave_inbox(self, inbox: Inbox) -> None:
        """Takes note that a reader has gone: unless the channel is read again, it is forgotten soon."""
        with self.lock:
            inbox.left = True
            inbox.wake()  # it may have been told of a message

    def end(self, subscription: Subscription) -> None:
        """Forgets a channel or a group."""
        with self.lock:
            if subscription.ended:
                return
            subscription.listener.remove(subscription)
            if isinstance(subscription, Inbox):
                del self.inboxes[subscription.channel]
                for group in list(subscription.groups):
                    self.leave(group, subscription.channel)
            elif isinstance(subscription, LocalGroup):
                del self.groups[subscription.group]
                for inbox in subscription.members.values():
                    del inbox.groups[subscription.group]

    def _listener(self, name: str) -> Listener:
        shard = shard_of(name.encode(), len(self._shards))
        if shard not in self._listeners:
            self._listeners[shard] = Listener(self._shards[shard], self)
        return self._listeners[shard]

    def confirm(self, subscriptions: Sequence[Subscription]) -> None:
        """Returns when Redis has confirmed all of them, or raises; see ``Confirmation``."""
        generation = fork.check()
        with self.lock:
            confirmation = Confirmation(subscriptions)
            if confirmation.done():
                return
            condition = Condition(self.lock)
            confirmation.tell(condition)
            try:
                while not confirmation.done():
                    condition.wait(_FORKED_SECONDS)
                    if fork.generation != generation:
                        raise fork.forked()
            finally:
                confirmation.forget(condition)

    # Messages

    @contextlib.contextmanager
    def delivering(self) -> Iterator[None]:
        """Hold the lock; right after that, make the calls of ``when_delivered``."""
        calls: dict[Callable[[list[Any]], object], list[Any]] = {}
        try:
            with self.lock:
                self._delivered = calls
                try:
                    yield
                finally:
                    self._delivered = None
        finally:
            for call, arguments in calls.items():
                call(arguments)

    def when_delivered(self, call: Callable[[list[T]], object], argument: T) -> None:
        """
        Call ``call`` with a list of ``argument`` and others; with the lock held.

        While messages are delivered it is called once, and later: a thread that it wakes would wait for the lock now.
        """
        if self._delivered is None:
            call([argument])
        else:
            self._delivered.setdefault(call, []).append(argument)

    def receive(
        self,
        inboxes: Sequence[Inbox],
        limit: int,
        timeout: float,
        limits: Mapping[str, int] | None = None,
        is_ended: Callable[[], bool] | None = None,
    ) -> Taken:
        """
        Returns up to ``limit`` messages, one from each inbox in turn; waits ``timeout`` seconds for one.

        Whatever happens to the inboxes may make it look whether ``is_ended`` and return before its time.
        """
        with self.lock:
            taken = self._take(inboxes, limit, limits)
            if taken or timeout <= 0 or (is_ended is not None and is_ended()):
                return taken
            deadline, unblocked = time.monotonic() + timeout, self.unblocked
            condition = Condition(self.lock)
            for inbox in inboxes:
                inbox.waiting.add(condition)
            self._waiting.add(condition)
            try:
                while not taken and self.unblocked == unblocked and not any(inbox.ended for inbox in inboxes):
                    if is_ended is not None and is_ended():
                        break
                    remaining = deadline - time.monotonic()
                    if remaining <= 0:
                        break
                    condition.wait(remaining)
                    taken = self._take(inboxes, limit, limits)
            finally:
                self._waiting.discard(condition)
                for inbox in inboxes:
                    inbox.waiting.discard(condition)
            return taken

    def _take(self, inboxes: Sequence[Inbox], limit: int, limits: Mapping[str, int] | None) -> Taken:
        now = time.monotonic()
        full: list[tuple[Inbox, int]] = []
        for inbox in inboxes:
            inbox.read_at, inbox.left = now, False
            if inbox.messages:
                self.dropped_count += inbox.drop_older(now - self.expiry)
                number = limits.get(inbox.channel, limit) if limits else limit
                full.append((inbox, min(number, len(inbox.messages))))
        if not full:
            return []
        first = next(self._turns) % len(full)
        full = full[first:] + full[:first]
        taken: Taken = []
        for turn in range(limit):
            full = [one for one in full if one[1] > turn]
            if not full or len(taken) == limit:
                break
            for inbox, _ in full[: limit - len(taken)]:
                taken.append((inbox.channel, inbox.messages.popleft()[1]))
                inbox.taken_at = now
                inbox.overflowing = inbox.overflowing and bool(inbox.messages)
        return taken

    def take_one(self, channel: str) -> tuple[Inbox | None, Arrived | None]:
        """Returns the inbox of a channel, if it is listened to, and the next message there, if there is one."""
        fork.check()
        with self._lock:
            inbox = self.inboxes.get(channel)
            if inbox is None:
                return None, None
            now = inbox.read_at = time.monotonic()
            inbox.left = False
            messages = inbox.messages
            while messages:
                arrived = messages.popleft()
                inbox.taken_at = now
                if not messages:
                    inbox.overflowing = False
                if arrived[0] >= now - self.expiry:
                    return inbox, arrived
                self.dropped_count += 1
            return inbox, None

    def _deliver_to_all(self, message: bytes) -> None:
        now = time.monotonic()
        for inbox in list(self.inboxes.values()):
            self.dropped_count += inbox.deliver(message, now)

    def sweep(self) -> None:
        """Drops what has expired, and the channels that nobody reads any more."""
        with self.lock:
            now = time.monotonic()
            for inbox in list(self.inboxes.values()):
                self.dropped_count += inbox.drop_older(now - self.expiry)
                inbox.forget_gone()
                unread = max(self.expiry, self.group_expiry) if inbox.groups else _LONG * self.expiry
                if inbox.left:
                    unread = self.expiry
                if not inbox.waiting and now - inbox.read_at > unread:
                    self.end(inbox)

    def wake(self) -> None:
        """Lets all that receive look whether they are to go on."""
        with self.lock:
            for condition in list(self._waiting):
                condition.notify_all()

    def unblock(self) -> None:
        """Ends what waits for messages, as if the time had run out."""
        self.unblocked += 1
        self.wake()

    # The end

    def stop(self) -> list[Listener]:
        """Forgets all channels and groups, and lets the listeners end; returns them."""
        with self.lock:
            listeners = list(self._listeners.values())
            for listener in listeners:
                listener.stop()
                for subscription in list(listener.subscriptions.values()):
                    self.end(subscription)
            self._listeners = {}
        return listeners
