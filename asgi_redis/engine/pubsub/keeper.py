"""Threads that keep subscriptions: each subscription has one at a time."""

from __future__ import annotations

import threading
import time
from contextlib import AbstractContextManager
from typing import Protocol

from redis.exceptions import AuthenticationError, ConnectionError, TimeoutError

from asgi_redis.connection import Server, as_exception, is_cluster_down
from asgi_redis.engine.outage import Outage
from asgi_redis.engine.pubsub.link_reader import LinkReader, ReaderChoice
from asgi_redis.engine.pubsub.subscription import Subscription
from asgi_redis.process.wakeup import WakeupPipe, poll


class KeeperOwner(Protocol):
    """The channels and groups of a process, as their keepers see them."""

    dropped_count: int
    sweep_interval: float
    readers: ReaderChoice
    delivering_loop: object

    @property
    def lock(self) -> threading.RLock:
        """The lock of all subscriptions."""

    def delivering(self) -> AbstractContextManager[None]:
        """Hold the lock while messages are delivered by a thread."""

    def place(self, subscription: Subscription, server: Server | None) -> None:
        """Give a subscription to the keeper for ``server``, or for unknown servers."""

    def confirmed(self, subscription: Subscription) -> None:
        """Take note that Redis has confirmed a subscription."""

    def lost(self, subscription: Subscription) -> None:
        """Take note that a subscription that was confirmed cannot be."""

    def end(self, subscription: Subscription) -> None:
        """Forget a subscription that Redis has refused."""

    def keeper_ended(self, keeper: Keeper) -> None:
        """Forget a keeper that has no subscriptions."""

    def sweep(self) -> None:
        """Drop expired messages and unread channels."""


class Keeper:
    """
    A thread that keeps subscriptions. Once stopped it is not started again.

    ``name`` is for the log and the thread. ``patience`` is for how many seconds it does not let waiters know that it
    tries in vain.
    """

    def __init__(self, name: object, owner: KeeperOwner, patience: float = 0.0) -> None:
        self.subscriptions: dict[bytes, Subscription] = {}
        self._name = name
        self._owner = owner
        self._lock = owner.lock
        self._patience = patience
        self._wakeup = WakeupPipe()
        self._stopped = False
        self._thread: threading.Thread | None = None
        self._outage = Outage(name)

    # For other threads, with the lock held

    def add(self, subscription: Subscription) -> None:
        """Take a subscription over. Raise ``RuntimeError`` where no thread starts."""
        if self._thread is None:
            thread = threading.Thread(target=self._run, name=f"listener at {self._name}", daemon=True)
            thread.start()
            self._thread = thread
        self.subscriptions[subscription.name] = subscription
        self._wakeup.wake()

    def release(self, subscription: Subscription) -> None:
        """Leave a subscription to another keeper."""
        if self.subscriptions.get(subscription.name) is subscription:
            del self.subscriptions[subscription.name]

    def remove(self, subscription: Subscription) -> None:
        """End a subscription: nothing is delivered from now on."""
        self.release(subscription)

    def read_by(self, reader: LinkReader | None) -> None:
        """Let ``reader`` read in place of the thread; None: the thread reads again."""

    def stop(self) -> None:
        """Let the thread end."""
        self._stopped = True
        self._wakeup.wake()

    def leave_to_parent(self) -> None:
        """End it in a forked process, where its thread goes on if it is a greenlet."""
        self._stopped = True

    def join(self, timeout: float) -> None:
        """Wait for the end of the thread; without the lock."""
        if self._thread is not None:
            self._thread.join(timeout)

    # The thread

    def _run(self) -> None:
        while not self._stopped:
            try:
                self._work()
            except BaseException as error:  # noqa: BLE001  of a provider of credentials; no other thread tries again
                if not self._stopped:
                    self._pause(self._failed(as_exception(error)))

    def _work(self) -> None:
        """Do the work of the thread. After an error it is called again."""
        raise NotImplementedError

    def _failed(self, error: Exception) -> float:
        """Note a failure; return the seconds to wait before the next attempt."""
        with self._owner.delivering():
            self._unconfirmed(list(self.subscriptions.values()), error)
        return self._outage.failed(error)

    def _unconfirmed(self, subscriptions: list[Subscription], error: Exception | None) -> None:
        """Note that these are not subscribed to, and why; with the lock held."""
        now = time.monotonic()
        passes = isinstance(error, (ConnectionError, TimeoutError)) and not isinstance(error, AuthenticationError)
        for subscription in subscriptions:
            subscription.lose(now)
            late = now - subscription.unconfirmed_since >= self._patience
            if error is not None and (late or not (passes or is_cluster_down(error))):
                subscription.error = error
        for subscription in subscriptions:
            if subscription.confirmed_once:
                self._owner.lost(subscription)
        for subscription in subscriptions:
            subscription.wake()

    def _end(self) -> None:
        """End the thread, which has no subscriptions; with the lock held."""
        self._stopped = True
        self._owner.keeper_ended(self)

    def _pause(self, seconds: float) -> None:
        until = time.monotonic() + seconds
        while not self._stopped and (remaining := until - time.monotonic()) > 0:
            if poll([self._wakeup], remaining):
                self._wakeup.clear()
