"""The channels and groups that a process listens to, for one layer."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from threading import Condition
from typing import Any, TypeVar

from asgi_redis.connection import Server
from asgi_redis.engine.outage import OutageNotices
from asgi_redis.engine.pubsub.keeper import Keeper
from asgi_redis.engine.pubsub.link_reader import LinkReader, ReaderChoice
from asgi_redis.engine.pubsub.placement import Placement
from asgi_redis.engine.pubsub.subscription import Confirmation, Inbox, LocalGroup, LoopWaiter, Subscription
from asgi_redis.process import fork
from asgi_redis.wire.expiry import is_expired
from asgi_redis.wire.message import Message

_FORK_CHECK_SECONDS = 1.0  # after which a wait in a forked process, which nothing can end, ends itself
_UNREAD_EXPIRIES = 10  # times expiry after which an unread channel that is in no group is forgotten

T = TypeVar("T")


class Subscriptions:
    """
    The channels and groups of this process. Threads may share it, processes not.

    ``expiry`` is the age in seconds at which messages are dropped, ``group_expiry`` how long members of groups may
    go unread. ``on_disconnect`` and ``on_reconnect`` are the types of messages for all channels, if any.
    """

    def __init__(
        self,
        placement: Placement,
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
        self._placement = placement
        self._keepers: dict[Server | None, Keeper] = {}
        self.start_process()
        fork.register(self)

    def start_process(self) -> None:
        """Start with no channels and no keepers."""
        for keeper in self._keepers.values():
            keeper.leave_to_parent()
        # Reentrant, because a signal handler or a finaliser may come anywhere.
        self._lock = threading.RLock()
        self.inboxes: dict[str, Inbox] = {}
        self.groups: dict[str, LocalGroup] = {}
        self.dropped_count = 0
        self._keepers = {}
        self._missing: set[Subscription] = set()
        self._delivered: dict[Callable[[list[Any]], object], list[Any]] | None = None
        self.readers = ReaderChoice(self._read_by)
        self.delivering_loop: object = None
        """The event loop, if one does, that delivers messages now, with the lock held."""

    @property
    def lock(self) -> threading.RLock:
        """The lock of all subscriptions."""
        fork.check()
        return self._lock

    # Channels and groups

    def open(self, channels: Iterable[str], capacity_of: Callable[[str], int]) -> list[Inbox]:
        """Return the inbox of each channel; begin to subscribe to new ones."""
        opened = []
        with self.lock:
            for channel in channels:
                inbox = self.inboxes.get(channel)
                if inbox is None:
                    inbox = Inbox(channel, capacity_of(channel))
                    self._begin(inbox)
                    self.inboxes[channel] = inbox
                opened.append(inbox)
        return opened

    def join(self, group: str, name: str, channel: str) -> LocalGroup | None:
        """
        Add ``channel`` to ``group``, whose name on Redis is ``name``.

        Begin to subscribe to a new group. Return None when this process does not listen to the channel.
        """
        with self.lock:
            inbox = self.inboxes.get(channel)
            if inbox is None:
                return None
            joined = self.groups.get(group)
            if joined is None:
                joined = LocalGroup(group, name)
                self._begin(joined)
                self.groups[group] = joined
            joined.members[channel] = inbox
            inbox.groups[group] = joined
            return joined

    def leave(self, group: str, channel: str) -> None:
        """Take ``channel`` out of ``group``."""
        with self.lock:
            left = self.groups.get(group)
            if left is not None and channel in left.members:
                del left.members.pop(channel).groups[group]
                if not left.members:
                    self.end(left)

    def members(self, group: str) -> list[str]:
        """Return the channels of this process that are in ``group``."""
        with self.lock:
            return list(self.groups[group].members) if group in self.groups else []

    def close_channel(self, channel: str) -> None:
        """Forget a channel, its messages and its memberships."""
        with self.lock:
            if channel in self.inboxes:
                self.end(self.inboxes[channel])

    def leave_inbox(self, inbox: Inbox) -> None:
        """Note that a reader has gone: the channel is forgotten soon, unless it is read."""
        with self.lock:
            inbox.left = True
            inbox.wake()  # the reader may have been woken for a message

    def end(self, subscription: Subscription) -> None:
        """Forget a channel or a group."""
        with self.lock:
            if subscription.ended:
                return
            if subscription.keeper is not None:
                subscription.keeper.remove(subscription)
            subscription.ended = True
            self._found(subscription)
            subscription.wake()
            if isinstance(subscription, Inbox):
                del self.inboxes[subscription.channel]
                for group in list(subscription.groups):
                    self.leave(group, subscription.channel)
            elif isinstance(subscription, LocalGroup):
                del self.groups[subscription.group]
                for inbox in subscription.members.values():
                    del inbox.groups[subscription.group]

    # Their keepers, and whether they are subscribed to

    def _begin(self, subscription: Subscription) -> None:
        self.place(subscription, self._placement.server_of(subscription.name))

    def place(self, subscription: Subscription, server: Server | None) -> None:
        """
        Give a subscription to the keeper for ``server``; None is an unknown server.

        Raises ``RuntimeError`` where no thread starts; then it stays where it was.
        """
        keeper = self._keepers.get(server)
        if keeper is None:
            keeper = self._keepers[server] = self._placement.keeper(server, self)
        before = subscription.keeper
        keeper.add(subscription)
        subscription.keeper = keeper
        if before is not None and before is not keeper:
            before.release(subscription)

    def _read_by(self, reader: LinkReader | None) -> None:
        for keeper in self._keepers.values():
            keeper.read_by(reader)

    def keeper_ended(self, keeper: Keeper) -> None:
        """Forget a keeper that has no subscriptions."""
        self._keepers = {server: one for server, one in self._keepers.items() if one is not keeper}

    def confirmed(self, subscription: Subscription) -> None:
        """Take note that Redis has confirmed a subscription."""
        subscription.confirmed = subscription.confirmed_once = True
        subscription.moves = 0
        self._found(subscription)
        subscription.wake()

    def lost(self, subscription: Subscription) -> None:
        """Take note that a subscription that was confirmed cannot be."""
        if not self._missing:
            self.notices.begin()
        self._missing.add(subscription)

    def _found(self, subscription: Subscription) -> None:
        if subscription in self._missing:
            self._missing.discard(subscription)
            if not self._missing:
                self.notices.end()

    def confirm(self, subscriptions: Sequence[Subscription]) -> None:
        """Wait until Redis has confirmed all; raise the errors of ``Confirmation``."""
        generation = fork.check()
        with self.lock:
            confirmation = Confirmation(subscriptions)
            if confirmation.done():
                return
            self.readers.share()
            condition = Condition(self.lock)
            confirmation.add_waiter(condition)
            try:
                while not confirmation.done():
                    condition.wait(_FORK_CHECK_SECONDS)
                    if fork.generation != generation:
                        raise fork.forked()
            finally:
                confirmation.remove_waiter(condition)

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

    def take_one(self, channel: str) -> tuple[Inbox | None, bytes | None]:
        """Return the inbox of a channel and its next message; None where there is none."""
        fork.check()
        with self._lock:
            inbox = self.inboxes.get(channel)
            if inbox is None:
                return None, None
            now = inbox.read_at = time.monotonic()
            inbox.left = False
            if inbox.messages and is_expired(now - inbox.messages[0][0], self.expiry):
                self.dropped_count += inbox.drop_expired(now, self.expiry)
            return inbox, inbox.take(now) if inbox.messages else None

    def _deliver_to_all(self, message: bytes) -> None:
        now = time.monotonic()
        for inbox in list(self.inboxes.values()):
            self.dropped_count += inbox.deliver(message, now)

    def sweep(self) -> None:
        """Drop expired messages, and the channels that are read no longer."""
        with self.lock:
            now = time.monotonic()
            waiting = {
                waiter.loop if isinstance(waiter, LoopWaiter) else None
                for inbox in list(self.inboxes.values())
                for waiter in list(inbox.waiting)
            }
            self.readers.revise(is_shared=len(waiting) > 1 or None in waiting)
            for inbox in list(self.inboxes.values()):
                self.dropped_count += inbox.drop_expired(now, self.expiry)
                inbox.forget_gone()
                unread = max(self.expiry, self.group_expiry) if inbox.groups else _UNREAD_EXPIRIES * self.expiry
                if inbox.left:
                    unread = self.expiry
                if not inbox.waiting and now - inbox.read_at > unread:
                    self.end(inbox)

    def stop(self) -> list[Keeper]:
        """Forget all channels and groups, and let the keepers end; return them."""
        with self.lock:
            keepers = list(self._keepers.values())
            self._missing.clear()
            for keeper in keepers:
                keeper.stop()
                for subscription in list(keeper.subscriptions.values()):
                    self.end(subscription)
            self._keepers = {}
        return keepers
