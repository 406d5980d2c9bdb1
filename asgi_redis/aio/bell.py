"""How the coroutines that wait for what the listening threads hear are woken, all of one loop with one call."""

from __future__ import annotations

import asyncio
import functools

from asgi_redis.aio.carriers import call_in
from asgi_redis.pubsub.subscription import Arrived, Inbox, Waiting
from asgi_redis.pubsub.subscriptions import Subscriptions


class Bell:
    """Wakes the coroutines of one loop."""

    def __init__(self, subscriptions: Subscriptions) -> None:
        self.subscriptions = subscriptions
        self._rung_for: list[Sleeper] = []

    def ring(self, sleeper: Sleeper) -> None:
        """Lets ``sleeper`` look, in the loop. To be called with the lock held."""
        self._rung_for.append(sleeper)
        if len(self._rung_for) == 1:
            self.subscriptions.when_delivered(functools.partial(self._call, sleeper.future.get_loop()))

    def _call(self, loop: asyncio.AbstractEventLoop) -> None:
        if not call_in(loop, self._wake):
            with self.subscriptions.lock:
                self._rung_for = []

    def _wake(self) -> None:
        with self.subscriptions.lock:
            sleepers, self._rung_for = self._rung_for, []
            for sleeper in sleepers:
                sleeper.look()


class Sleeper(Waiting):
    """A coroutine that awaits ``future`` until something happens."""

    __slots__ = ("_bell", "_is_rung", "future")

    future: asyncio.Future[Arrived | None]

    def __init__(self, bell: Bell) -> None:
        self.future = asyncio.get_running_loop().create_future()
        self._bell = bell
        self._is_rung = False

    def notify_all(self) -> None:
        """See ``asgi_redis.pubsub.subscription.Waiting``."""
        if not self._is_rung:
            self._is_rung = True
            self._bell.ring(self)

    def look(self) -> None:
        """Ends the waiting if there is a reason. Is called in the loop, with the lock held."""
        if not self.future.done():
            self.future.set_result(None)


class Receiver(Sleeper):
    """
    A coroutine that waits for a message, which is handed over to it, or None when the channel was ended.

    To be made, and left, with the lock held.
    """

    __slots__ = ("_inbox",)

    def __init__(self, bell: Bell, inbox: Inbox) -> None:
        super().__init__(bell)
        self._inbox = inbox
        inbox.waiting.add(self)

    def look(self) -> None:
        """See ``Sleeper``."""
        self._is_rung = False
        inbox = self._inbox
        if self.future.done() or self not in inbox.waiting:
            return  # it was cancelled, and is about to leave or has left
        arrived = self._bell.subscriptions.take_one(inbox)
        if arrived is not None or inbox.ended:
            inbox.waiting.discard(self)
            self.future.set_result(arrived)

    def leave(self) -> None:
        """Gives back the message that comes too late, and takes note that the channel may have lost its reader."""
        self._inbox.waiting.discard(self)
        arrived = self.future.result() if self.future.done() and not self.future.cancelled() else None
        self._bell.subscriptions.leave_inbox(self._inbox, arrived)
