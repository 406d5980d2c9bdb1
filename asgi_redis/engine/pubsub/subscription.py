"""
What a process listens to: its channels, each with the messages that nobody has received yet, and its groups.

Everything here is guarded by the lock of the ``Subscriptions`` that it belongs to.
"""

from __future__ import annotations

import logging
import math
import time
from collections import deque
from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

from asgi_redis.connection import each_its_own

if TYPE_CHECKING:
    from asgi_redis.engine.pubsub.listener import Listener

logger = logging.getLogger("asgi_redis")

_READ = 1.0  # seconds that a channel counts as being read after a message was taken
_BURST = 100  # times its capacity

Arrived = tuple[float, bytes]
"""When a message has come (``time.monotonic``), and what it is."""


class SubscriptionWaiter(Protocol):
    """A waiter for a change of a subscription, such as a ``threading.Condition`` of the lock."""

    __slots__ = ()

    def notify_all(self) -> None:
        """Wake the waiter, with the lock held: there may be a change."""


class LoopWaiter:
    """A waiter that may end without leaving: a coroutine whose event loop is closed."""

    __slots__ = ()

    def is_gone(self) -> bool:
        """Whether the loop is closed."""
        raise NotImplementedError


class Subscription:
    """
    One name that a listener is subscribed to.

    ``confirmed`` is whether Redis has said so on the connection that there is now. ``waiting`` are woken by whatever
    happens to it.
    """

    __slots__ = ("confirmed", "confirmed_once", "ended", "listener", "name", "refusal", "waiting")

    def __init__(self, name: bytes, listener: Listener) -> None:
        self.name = name
        self.listener = listener
        self.confirmed = False
        self.confirmed_once = False
        self.refusal: Exception | None = None
        """Why Redis does not want it; it is ended, then."""
        self.ended = False
        self.waiting: set[SubscriptionWaiter] = set()

    def wake(self) -> None:
        """Lets those that wait look again."""
        if self.waiting:
            # A copy, because the garbage collector may end a coroutine that waits in the middle of this.
            for waiting in list(self.waiting):
                waiting.notify_all()

    def deliver(self, message: bytes, now: float) -> int:
        """Takes a message in; returns how many were dropped for it."""
        raise NotImplementedError


class Inbox(Subscription):
    """
    A channel of this process, and the messages that wait in it: ``capacity`` of them, the latest.

    Where it is being read there may be ``_BURST`` times as many: they come faster than any reader can take them.
    """

    __slots__ = ("capacity", "channel", "groups", "left", "messages", "overflowing", "read_at", "taken_at")

    def __init__(self, channel: str, listener: Listener, capacity: int) -> None:
        super().__init__(channel.encode(), listener)
        self.channel = channel
        self.capacity = capacity
        self.messages: deque[Arrived] = deque()
        self.groups: dict[str, LocalGroup] = {}
        self.read_at = time.monotonic()
        """When somebody has looked for messages the last time."""
        self.taken_at = -math.inf
        """When somebody has found one."""
        self.left = False
        """Whether its reader has gone, and will hardly come back."""
        self.overflowing = False

    def deliver(self, message: bytes, now: float) -> int:
        """See ``Subscription``."""
        dropped = 0
        if len(self.messages) >= self.capacity:
            most = self.capacity * (_BURST if self.waiting or now - self.taken_at < _READ else 1)
            while len(self.messages) >= most:
                self.messages.popleft()
                dropped += 1
            if dropped and not self.overflowing:
                self.overflowing = True  # the log has it once, until somebody has emptied it
                logger.info("Channel %r over capacity; its oldest messages are dropped", self.channel)
        self.messages.append((now, message))
        self.wake()
        return dropped

    def forget_gone(self) -> None:
        """Forgets readers who have gone without a word."""
        for waiting in list(self.waiting):
            if isinstance(waiting, LoopWaiter) and waiting.is_gone():
                self.waiting.discard(waiting)
                self.left = True

    def drop_older(self, arrived_before: float) -> int:
        """Drops what has arrived before a moment; returns how many."""
        dropped = 0
        while self.messages and self.messages[0][0] < arrived_before:
            self.messages.popleft()
            dropped += 1
        return dropped


class LocalGroup(Subscription):
    """A group, and those channels of this process that are in it."""

    __slots__ = ("group", "members")

    def __init__(self, group: str, name: str, listener: Listener) -> None:
        super().__init__(name.encode(), listener)
        self.group = group
        self.members: dict[str, Inbox] = {}

    def deliver(self, message: bytes, now: float) -> int:
        """See ``Subscription``."""
        # A copy, because the garbage collector may end a coroutine that takes its channel out in the middle of this.
        return sum([inbox.deliver(message, now) for inbox in list(self.members.values())])


class Confirmation:
    """Waits until Redis has confirmed some subscriptions; what is sent from then on is not missed."""

    def __init__(self, subscriptions: Sequence[Subscription]) -> None:
        self._missing = [one for one in subscriptions if not one.confirmed]
        self._failures = [one.listener.failures for one in self._missing]

    def done(self) -> bool:
        """
        Returns whether all are there.

        Raises the error where Redis cannot be reached, or refuses. They are subscribed to when it is back, all the
        same.
        """
        if all(one.confirmed or one.ended for one in self._missing):
            for one in self._missing:
                if one.refusal is not None:
                    raise each_its_own(one.refusal, 2)[1]  # with a traceback of its own
            return True
        for one, failures in zip(self._missing, self._failures):
            if not one.confirmed and one.listener.failures != failures:
                raise each_its_own(one.listener.error, 2)[1]
        return False

    def tell(self, waiting: SubscriptionWaiter) -> None:
        """Wakes ``waiting`` when ``done`` may have become another."""
        for one in self._missing:
            one.waiting.add(waiting)

    def forget(self, waiting: SubscriptionWaiter) -> None:
        """Wakes it no longer."""
        for one in self._missing:
            one.waiting.discard(waiting)
