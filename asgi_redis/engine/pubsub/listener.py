"""
The thread that listens at one server.

Only this thread uses its connection. Other threads queue their requests to subscribe, under the lock, and wake it.
Each request is for one name, and so has one reply, in the order of the requests.
"""

from __future__ import annotations

import time
from collections import deque
from typing import Any

from redis.exceptions import ConnectionError, RedisError, ResponseError, TimeoutError

from asgi_redis.connection import Server
from asgi_redis.engine.pubsub.keeper import Keeper, KeeperOwner
from asgi_redis.engine.pubsub.link import Link, LinkRequest
from asgi_redis.engine.pubsub.subscription import Subscription
from asgi_redis.process.wakeup import poll
from asgi_redis.wire.pubsub import PING, PLAIN

_CHECK_SECONDS = 5.0  # between two looks at the Sentinels, and at a silent connection
_CHUNK = 1000  # messages that are delivered before other threads get the lock


class Listener(Keeper):
    """Keeps the subscriptions of one server."""

    commands = PLAIN

    def __init__(self, server: Server, owner: KeeperOwner, patience: float = 0.0) -> None:
        super().__init__(server.host, owner, patience)
        self.server = server
        self._requests: deque[LinkRequest] = deque()
        self._established = False

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

    def _subscribing(self, subscription: Subscription) -> LinkRequest:
        return LinkRequest(self.commands.subscribe(subscription.name), subscription, subscribes=True)

    # The thread

    def _work(self) -> None:
        connection = self.server.connect()
        try:
            self._serve(Link(connection, self.server.server_of(connection)))
        finally:
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
        link.ask(requests)
        sweep_at = time.monotonic() + self._owner.sweep_interval
        check_at = time.monotonic() + _CHECK_SECONDS
        while not self._stopped:
            if not link.expected and not self._established:
                self._established = True
                self._outage.succeeded()
            wait = min(check_at, sweep_at, link.answer_by) - time.monotonic()
            ready = poll([link, self._wakeup], max(0.0, wait))
            if self._wakeup in ready:
                self._wakeup.clear()
                with self._lock:
                    requests = list(self._requests)
                    self._requests.clear()
                link.ask(requests)
            if link in ready:
                self._take(link)
            now = time.monotonic()
            if now >= link.answer_by:
                raise TimeoutError(f"{self.server.host} does not answer")
            if now >= sweep_at:
                self._owner.sweep()
                sweep_at = now + self._owner.sweep_interval
            if now >= check_at:
                self._check(link, now, now - _CHECK_SECONDS)
                check_at = now + _CHECK_SECONDS

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

    def _take(self, link: Link) -> None:
        replies = link.read(_CHUNK, is_polled=True)
        while replies:
            now = time.monotonic()
            with self._owner.delivering():
                for reply in replies:
                    if isinstance(reply, list) and reply[0] == self.commands.message:
                        subscription = self.subscriptions.get(reply[1])
                        if subscription is not None:
                            self._owner.dropped_count += subscription.deliver(reply[2], now)
                    else:
                        self._answered(link, reply)
            replies = link.read(_CHUNK) if len(replies) == _CHUNK else []

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
