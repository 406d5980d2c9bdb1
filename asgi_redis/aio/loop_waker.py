"""How the coroutines that wait for what the listening threads hear are woken, all of one loop with one call."""

from __future__ import annotations

import asyncio
import functools

from asgi_redis.aio.runner import call_in
from asgi_redis.engine.pubsub.subscription import Inbox, Reader, Waiting
from asgi_redis.engine.pubsub.subscriptions import Subscriptions


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

    future: asyncio.Future[None]

    def __init__(self, bell: Bell) -> None:
        self.future = asyncio.get_running_loop().create_future()
        self._bell = bell
        self._is_rung = False

    def notify_all(self) -> None:
        """See ``asgi_redis.engine.pubsub.subscription.Waiting``."""
        if not self._is_rung:
            self._is_rung = True
            self._bell.ring(self)

    def look(self) -> None:
        """Ends the waiting if there is a reason. Is called in the loop, with the lock held."""
        if not self.future.done():
            self.future.set_result(None)


class Receiver(Sleeper, Reader):
    """
    A coroutine that waits until there is a message for it to take, or the channel is ended.

    The message stays in the inbox until the coroutine runs: it may be cancelled before. To be made, and left, with
    the lock held.
    """

    __slots__ = ("_inbox",)

    def __init__(self, bell: Bell, inbox: Inbox) -> None:
        super().__init__(bell)
        self._inbox = inbox
        inbox.waiting.add(self)

    def look(self) -> None:
        """See ``Sleeper``."""
        self._is_rung = False
        if self._inbox.messages or self._inbox.ended:
            super().look()

    def is_gone(self) -> bool:
        """See ``asgi_redis.engine.pubsub.subscription.Reader``."""
        return self.future.get_loop().is_closed()

    def leave(self) -> None:
        """Waits no longer."""
        self._inbox.waiting.discard(self)
