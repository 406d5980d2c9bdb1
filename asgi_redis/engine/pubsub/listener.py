"""
The thread that listens at one server.

Other threads queue their requests to subscribe, under the lock, and wake it. Each request is for one name, and so has
one reply, in the order of the requests.

Where one event loop alone waits for messages, it reads them in place of the thread, which saves two changes of
threads for each message. Replies are left to the thread. It looks from time to time whether the loop has left
anything unread, as a loop that is busy does.
"""

from __future__ import annotations

import time
from collections import deque
from typing import Any

from redis.exceptions import ConnectionError, RedisError, ResponseError, TimeoutError

from asgi_redis.connection import Server
from asgi_redis.engine.pubsub.keeper import Keeper, KeeperOwner
from asgi_redis.engine.pubsub.link import Link, LinkRequest
from asgi_redis.engine.pubsub.link_reader import LinkReader
from asgi_redis.engine.pubsub.subscription import Subscription
from asgi_redis.process.wakeup import poll
from asgi_redis.wire.pubsub import PING, PLAIN

_CHECK_SECONDS = 5.0  # between two looks at the Sentinels, and at a silent connection
_BUSY_LOOP_SECONDS = 1.0  # that messages may stay unread where a loop is to read them


class Listener(Keeper):
    """Keeps the subscriptions of one server."""

    commands = PLAIN

    def __init__(self, server: Server, owner: KeeperOwner, patience: float = 0.0) -> None:
        super().__init__(server.host, owner, patience)
        self.server = server
        self._requests: deque[LinkRequest] = deque()
        self._established = False
        self._link: Link | None = None
        self._reader: LinkReader | None = None
        """Reads the link in place of the thread."""
        self._is_reader_busy = False  # so that the thread has to read, too
        self._answers: deque[Any] = deque()  # that the reader has left to the thread

    # For other threads, with the lock held

    def add(self, subscription: Subscription) -> None:
        super().add(subscription)
        self._requests.append(self._subscribing(subscription))

    def remove(self, subscription: Subscription) -> None:
        super().remove(subscription)
        self._unsubscribe(subscription)

    def _unsubscribe(self, subscription: Subscription) -> None:
        self._requests.append(LinkRequest(self.commands.unsubscribe(subscription.name), subscription))
        self._wakeup.wake()

    def read_by(self, reader: LinkReader | None) -> None:
        link = self._link
        if link is not None:
            can_read = reader is not None and link.is_readable_by_loops and reader.watch(link, self)
            self._reader = reader if can_read else None
            self._is_reader_busy = False
            self._wakeup.wake()

    def read_in_loop(self, reader: LinkReader, link: Link) -> bool:
        """Deliver the messages that are there; return whether to go on with that."""
        owner = self._owner
        with owner.lock:
            if self._stopped or self._link is not link or self._reader is not reader:
                return False
            self._is_reader_busy = False
            owner.delivering_loop = reader.loop
            try:
                self._deliver(link)
            except RedisError:
                self._reader = None  # the thread gets the same error
            finally:
                owner.delivering_loop = None
            if self._answers or self._reader is None:
                self._wakeup.wake()
            return self._reader is not None

    def _subscribing(self, subscription: Subscription) -> LinkRequest:
        return LinkRequest(self.commands.subscribe(subscription.name), subscription, subscribes=True)

    # The thread

    def _work(self) -> None:
        connection = self.server.connect()
        try:
            self._serve(Link(connection, self.server.server_of(connection)))
        finally:
            with self._lock:
                self._link = self._reader = None
                self._answers.clear()
            connection.disconnect()

    def _failed(self, error: Exception) -> float:
        self.server.host.lost()
        error = self.server.explain(error)
        established, self._established = self._established, False
        with self._owner.delivering():
            self._unconfirmed(list(self.subscriptions.values()), None if established else error)
        return self._outage.failed(error)

    def _serve(self, link: Link) -> None:
        with self._lock:
            self._requests.clear()  # they are among these
            requests = [self._subscribing(one) for one in list(self.subscriptions.values())]
            self._link = link
            self.read_by(self._owner.readers.reader)
        link.ask(requests)
        sweep_at = time.monotonic() + self._owner.sweep_interval
        check_at = time.monotonic() + _CHECK_SECONDS
        while not self._stopped:
            if not link.expected and not self._established:
                self._established = True
                self._outage.succeeded()
            self._wait(link, min(check_at, sweep_at, link.answer_by))
            now = time.monotonic()
            if now >= link.answer_by:
                raise TimeoutError(f"{self.server.host} does not answer")
            if now >= sweep_at:
                self._owner.sweep()
                sweep_at = now + self._owner.sweep_interval
            if now >= check_at:
                self._check(link, now, now - _CHECK_SECONDS)
                check_at = now + _CHECK_SECONDS

    def _wait(self, link: Link, until: float) -> None:
        """Wait for messages, replies and requests, and deal with them."""
        timeout = max(0.0, until - time.monotonic())
        if self._reader is None or self._is_reader_busy or link.expected:
            ready = poll([link, self._wakeup], timeout)
        else:
            ready = poll([self._wakeup], min(timeout, _BUSY_LOOP_SECONDS))
        if self._wakeup in ready:
            self._wakeup.clear()
            with self._lock:
                requests = list(self._requests)
                self._requests.clear()
            link.ask(requests)
        if link in ready or self._answers or self._reader is None:
            self._take(link)
        elif not ready:
            self._is_reader_busy = self._take(link)

    def _check(self, link: Link, now: float, last: float) -> None:
        """Look whether the server is right, and answers; ``last`` was the last time."""
        if not self.server.host.is_current(link.connection):
            raise ConnectionError(f"{self.server.host} has another master")
        if now >= link.connection.retire_at:
            self._check_server(link)
        if link.is_silent(last) and not link.expected:
            link.ask([self._ping()])

    def _ping(self) -> LinkRequest:
        return LinkRequest(PING)

    def _check_server(self, link: Link) -> None:
        """Raise where the host is another server now. The old one may live on, silent."""
        try:
            server, until = self.server.server_now()
        except RedisError:
            return  # the old connection is better than none
        if server != link.server:
            raise ConnectionError(f"{self.server.host} leads to another server")
        link.connection.retire_at = until

    def _take(self, link: Link) -> bool:
        """Deliver messages, and act on replies; return whether there was anything."""
        with self._owner.delivering():
            found = self._deliver(link)
            while self._answers:
                self._answered(link, self._answers.popleft())
        return found

    def _deliver(self, link: Link) -> bool:
        """Deliver the messages that are there; return whether there was anything."""
        now = time.monotonic()
        replies = link.read(now)
        for reply in replies or ():
            if isinstance(reply, list) and reply[0] == self.commands.message:
                subscription = self.subscriptions.get(reply[1])
                if subscription is not None:
                    self._owner.dropped_count += subscription.deliver(reply[2], now)
            else:
                self._answers.append(reply)
        return replies is not None

    def _answered(self, link: Link, reply: Any) -> None:
        """Act on a reply that is no message, with the lock held."""
        if not link.expected:
            # A proxy, or a server that shuts down, which says so unasked.
            raise reply if isinstance(reply, Exception) else ConnectionError(f"{self.server.host} is out of step")
        subscription = self._asked_for(link.expected.popleft())
        if subscription is None:
            return  # any reply shows that Redis is there
        if isinstance(reply, Exception):
            self._refused(subscription, reply)
        else:
            self._owner.confirmed(subscription)

    def _asked_for(self, request: LinkRequest | None) -> Subscription | None:
        """Return the subscription that a request is to begin, if it is still wanted."""
        if request is None or not request.subscribes:
            return None
        subscription = request.subscription
        return subscription if subscription and self.subscriptions.get(subscription.name) is subscription else None

    def _refused(self, subscription: Subscription, reply: Exception) -> None:
        if subscription.confirmed_once:
            raise reply  # it was allowed once, and may be again
        subscription.refusal = self.server.explain(reply) if isinstance(reply, ResponseError) else reply
        self._owner.end(subscription)
