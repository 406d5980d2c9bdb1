"""
The channels of a process with their unreceived messages, and its groups.

The lock of ``Subscriptions`` guards all of them.
"""

from __future__ import annotations

import logging
import math
import time
from collections import deque
from collections.abc import Sequence
from typing import Protocol

from asgi_redis.connection import each_its_own
from asgi_redis.wire.expiry import is_expired

logger = logging.getLogger("asgi_redis")

_READ_SECONDS = 1.0  # that a channel counts as being read after a message was taken
_BURST = 100  # times its capacity


class SubscriptionWaiter(Protocol):
    """A waiter for a change of a subscription, such as a ``Condition`` of the lock."""

    __slots__ = ()

    def notify_all(self) -> None:
        """Wake the waiter, with the lock held: there may be a change."""


class LoopWaiter:
    """A waiter that may end without leaving: a coroutine whose event loop is closed."""

    __slots__ = ()

    loop: object
    """The event loop."""

    def is_gone(self) -> bool:
        """Whether the loop is closed."""
        raise NotImplementedError


class SubscriptionKeeper(Protocol):
    """A thread that keeps subscriptions."""

    def release(self, subscription: Subscription) -> None:
        """Leave a subscription to another keeper."""

    def remove(self, subscription: Subscription) -> None:
        """End a subscription."""


class Subscription:
    """
    A name that a keeper is subscribed to.

    ``confirmed`` is whether Redis has confirmed it on the present connection. ``waiting`` are woken by all changes.
    """

    __slots__ = (
        *("confirmed", "confirmed_once", "ended", "error", "keeper", "moves", "name", "refusal"),
        *("unconfirmed_since", "waiting"),
    )

    def __init__(self, name: bytes) -> None:
        self.name = name
        self.keeper: SubscriptionKeeper | None = None
        self.confirmed = False
        self.confirmed_once = False
        self.unconfirmed_since = time.monotonic()
        self.moves = 0
        """How many nodes of a cluster have refused it since it was confirmed."""
        self.error: Exception | None = None
        """Why the server could not be reached the last time."""
        self.refusal: Exception | None = None
        """Why Redis has refused it; it is ended, then."""
        self.ended = False
        self.waiting: set[SubscriptionWaiter] = set()

    def lose(self, now: float) -> None:
        """Take note that Redis has it no longer."""
        if self.confirmed:
            self.confirmed = False
            self.unconfirmed_since = now

    def wake(self) -> None:
        """Wake all waiters."""
        # A copy, because the garbage collector may end a coroutine that waits in the middle of this.
        for waiting in tuple(self.waiting):
            waiting.notify_all()

    def deliver(self, message: bytes, now: float) -> int:
        """Add a message; return how many were dropped for it."""
        raise NotImplementedError


class Inbox(Subscription):
    """
    A channel of this process, with its latest ``capacity`` unreceived messages.

    While it is being read it holds ``_BURST`` times as many: they come faster than any reader can take them.
    """

    __slots__ = ("capacity", "channel", "groups", "left", "messages", "overflowing", "read_at", "taken_at")

    def __init__(self, channel: str, capacity: int) -> None:
        super().__init__(channel.encode())
        self.channel = channel
        self.capacity = capacity
        self.messages: deque[tuple[float, bytes]] = deque()
        """Each with the time when it arrived."""
        self.groups: dict[str, LocalGroup] = {}
        self.read_at = time.monotonic()
        """When a reader last looked for messages."""
        self.taken_at = -math.inf
        """When a reader last found one."""
        self.left = False
        """Whether its reader has gone, and will hardly come back."""
        self.overflowing = False

    def deliver(self, message: bytes, now: float) -> int:
        """Add a message; drop the oldest where there are too many."""
        dropped = 0
        if len(self.messages) >= self.capacity:
            most = self.capacity * (_BURST if self.waiting or now - self.taken_at < _READ_SECONDS else 1)
            while len(self.messages) >= most:
                self.messages.popleft()
                dropped += 1
            if dropped and not self.overflowing:
                self.overflowing = True  # logged once, until a reader has emptied it
                logger.info("Channel %r over capacity; its oldest messages are dropped", self.channel)
        self.messages.append((now, message))
        if self.waiting:
            self.wake()
        return dropped

    def take(self, now: float) -> bytes:
        """Take the oldest message, which there must be."""
        _, message = self.messages.popleft()
        self.taken_at = now
        if not self.messages:
            self.overflowing = False
        return message

    def forget_gone(self) -> None:
        """Forget waiters that have ended without leaving."""
        for waiting in list(self.waiting):
            if isinstance(waiting, LoopWaiter) and waiting.is_gone():
                self.waiting.discard(waiting)
                self.left = True

    def drop_expired(self, now: float, expiry: float) -> int:
        """Drop expired messages; return how many."""
        dropped = 0
        while self.messages and is_expired(now - self.messages[0][0], expiry):
            self.messages.popleft()
            dropped += 1
        return dropped


class LocalGroup(Subscription):
    """A group, and its members among the channels of this process."""

    __slots__ = ("group", "members")

    def __init__(self, group: str, name: str) -> None:
        super().__init__(name.encode())
        self.group = group
        self.members: dict[str, Inbox] = {}

    def deliver(self, message: bytes, now: float) -> int:
        """Add a message to each member."""
        # A copy, because the garbage collector may end a coroutine that takes its channel out in the middle of this.
        return sum([inbox.deliver(message, now) for inbox in list(self.members.values())])


class Confirmation:
    """The wait until Redis has confirmed subscriptions: then no message is missed."""

    def __init__(self, subscriptions: Sequence[Subscription]) -> None:
        self._missing = [(one, one.error) for one in subscriptions if not one.confirmed]

    def done(self) -> bool:
        """
        Return whether all are confirmed.

        Raise the error where Redis refuses, or cannot be reached: they are subscribed to when it is back.
        """
        if all(one.confirmed or one.ended for one, _ in self._missing):
            for one, _ in self._missing:
                if one.refusal is not None:
                    raise each_its_own(one.refusal, 2)[1]  # a copy: each raise adds to the traceback
            return True
        for one, error in self._missing:
            if one.error is not None and one.error is not error and not one.confirmed:
                raise each_its_own(one.error, 2)[1]
        return False

    def add_waiter(self, waiter: SubscriptionWaiter) -> None:
        """Wake ``waiter`` when the result of ``done`` may have changed."""
        for one, _ in self._missing:
            one.waiting.add(waiter)

    def remove_waiter(self, waiter: SubscriptionWaiter) -> None:
        """Wake it no longer."""
        for one, _ in self._missing:
            one.waiting.discard(waiter)
