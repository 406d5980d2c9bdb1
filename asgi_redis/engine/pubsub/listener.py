"""
The thread that listens at one server.

Only this thread uses its connection. Other threads queue their requests to subscribe, under the lock, and wake it.
Each request is for one name, and so has one reply, in the order of the requests.
"""

from __future__ import annotations

import math
import threading
import time
from collections import deque
from contextlib import AbstractContextManager
from typing import Any, Protocol

from redis.exceptions import ConnectionError, RedisError, ResponseError, TimeoutError

from asgi_redis.connection import Server, as_exception
from asgi_redis.connection.redis_py import descriptor, read_pushed, write
from asgi_redis.engine.outage import Outage, OutageNotices
from asgi_redis.engine.pubsub.subscription import Subscription
from asgi_redis.process.wakeup import WakeupPipe, poll
from asgi_redis.wire.pubsub import PING, subscribe, unsubscribe

_CHECK_SECONDS = 5.0  # between two looks at the Sentinels, and at a silent connection
_REPLY_SECONDS = 20.0  # for a reply, where no timeout is set
_CHUNK = 1000  # messages that are delivered before other threads get the lock

_Request = tuple[bytes, Subscription]


class ListenerOwner(Protocol):
    """The channels and groups of a process, as their listeners see them."""

    dropped_count: int
    notices: OutageNotices
    sweep_interval: float

    @property
    def lock(self) -> threading.RLock:
        """The lock of all subscriptions."""

    def delivering(self) -> AbstractContextManager[None]:
        """Hold the lock while messages are delivered."""

    def end(self, subscription: Subscription) -> None:
        """Forget a subscription that Redis has refused."""

    def sweep(self) -> None:
        """Drop expired messages and unread channels."""


class Listener:
    """Keeps the subscriptions of one server. Once stopped it is not started again."""

    def __init__(self, server: Server, owner: ListenerOwner) -> None:
        self.server = server
        self.subscriptions: dict[bytes, Subscription] = {}
        self._owner = owner
        self._lock = owner.lock
        self._requests: deque[_Request] = deque()
        self._wakeup = WakeupPipe()
        self._stopped = False
        self._thread: threading.Thread | None = None
        self._link: _Link | None = None
        self._outage = Outage(server.host)
        self._was_connected = False

    # For other threads, with the lock held

    def add(self, subscription: Subscription) -> None:
        """Subscribe as soon as possible. Raise ``RuntimeError`` where no thread starts."""
        if self._thread is None:
            thread = threading.Thread(target=self._run, name=f"listener at {self.server.host}", daemon=True)
            thread.start()
            self._thread = thread
        self.subscriptions[subscription.name] = subscription
        self._request(subscribe(subscription.name), subscription)

    def remove(self, subscription: Subscription) -> None:
        """Unsubscribe; nothing is delivered from now on."""
        if self.subscriptions.get(subscription.name) is subscription:
            del self.subscriptions[subscription.name]
            self._request(unsubscribe(subscription.name), subscription)
        subscription.ended = True
        subscription.wake()

    def _request(self, packed: bytes, subscription: Subscription) -> None:
        self._requests.append((packed, subscription))
        self._wakeup.wake()

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
                connection = self.server.connect()
                self._link = _Link(connection, self.server.server_of(connection))
                self._serve(self._link)
            except BaseException as error:  # noqa: BLE001  of a provider of credentials; no other thread tries again
                if not self._stopped:
                    delay = self._lost(self.server.explain(as_exception(error)))
                    self._disconnect()
                    self._pause(delay)
            finally:
                self._disconnect()

    def _disconnect(self) -> None:
        if self._link is not None:
            self._link.connection.disconnect()
            self._link = None

    def _lost(self, error: Exception) -> float:
        """Note a failure; return the seconds to wait before the next attempt."""
        self.server.host.lost()
        delay = self._outage.failed(error)
        with self._owner.delivering():
            established = self._link is not None and self._link.established
            for subscription in list(self.subscriptions.values()):
                subscription.confirmed = False
                if not established:
                    subscription.error = error
            if established:
                self._was_connected = True
                self._owner.notices.begin()
            for subscription in list(self.subscriptions.values()):
                subscription.wake()
        return delay

    def _pause(self, seconds: float) -> None:
        until = time.monotonic() + seconds
        while not self._stopped and (remaining := until - time.monotonic()) > 0:
            if poll([self._wakeup], remaining):
                self._wakeup.clear()

    def _serve(self, link: _Link) -> None:
        with self._lock:
            self._requests.clear()  # they are among these
            requests = [(subscribe(one.name), one) for one in list(self.subscriptions.values())]
        link.ask(requests)
        sweep_at = time.monotonic() + self._owner.sweep_interval
        check_at = time.monotonic() + _CHECK_SECONDS
        while not self._stopped:
            if not link.expected and not link.established:
                self._established(link)
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
                if not self.server.host.is_current(link.connection):
                    raise ConnectionError(f"{self.server.host} has another master")
                if now >= link.connection.retire_at:
                    self._check_server(link)
                link.ping(now - _CHECK_SECONDS)
                check_at = now + _CHECK_SECONDS

    def _check_server(self, link: _Link) -> None:
        """Raise where the host is another server now. The old one may live on, silent."""
        try:
            server, until = self.server.server_now()
        except RedisError:
            return  # the old connection is better than none
        if server != link.server:
            raise ConnectionError(f"{self.server.host} leads to another server")
        link.connection.retire_at = until

    def _established(self, link: _Link) -> None:
        link.established = True
        self._outage.succeeded()
        if self._was_connected:
            self._was_connected = False
            with self._owner.delivering():
                self._owner.notices.end()

    def _take(self, link: _Link) -> None:
        replies = link.read(_CHUNK, is_polled=True)
        while replies:
            now = time.monotonic()
            with self._owner.delivering():
                for reply in replies:
                    if isinstance(reply, list) and reply[0] == b"message":
                        subscription = self.subscriptions.get(reply[1])
                        if subscription is not None:
                            self._owner.dropped_count += subscription.deliver(reply[2], now)
                    else:
                        self._answered(link, reply)
            replies = link.read(_CHUNK) if len(replies) == _CHUNK else []

    def _answered(self, link: _Link, reply: Any) -> None:
        if not link.expected:
            # A proxy, or a server that shuts down, which says so unasked.
            raise reply if isinstance(reply, Exception) else ConnectionError(f"{self.server.host} is out of step")
        subscription = link.expected.popleft()
        if subscription is None or subscription.ended:
            return  # any reply shows that Redis is there
        if isinstance(reply, Exception):
            if subscription.confirmed_once:
                raise reply  # it was allowed once, and may be again
            subscription.refusal = self.server.explain(reply) if isinstance(reply, ResponseError) else reply
            self._owner.end(subscription)
        else:
            subscription.confirmed = subscription.confirmed_once = True
            subscription.wake()


class _Link:
    """A connection that listens, and the requests that it has no reply to yet."""

    def __init__(self, connection: Any, server: bytes | None) -> None:
        self.connection = connection
        self.server = server
        """The id of the server, if it may be asked for."""
        self.established = False
        self.expected: deque[Subscription | None] = deque()  # None stands for a PING
        self._timeout: float = connection.socket_timeout or _REPLY_SECONDS
        self._heard = self._asked = time.monotonic()

    @property
    def answer_by(self) -> float:
        """When to give it up."""
        return max(self._heard, self._asked) + self._timeout if self.expected else math.inf

    def fileno(self) -> int:
        """Return the descriptor to poll."""
        number = descriptor(self.connection)
        if number < 0:
            raise ConnectionError("the connection was closed")
        return number

    def ask(self, requests: list[_Request]) -> None:
        """Send requests."""
        if requests:
            self._send(b"".join([packed for packed, _ in requests]))
            self.expected.extend(subscription for _, subscription in requests)

    def ping(self, silent_since: float) -> None:
        """Send a PING if no reply has come since."""
        if self._heard < silent_since and not self.expected:
            self._send(PING)
            self.expected.append(None)

    def _send(self, packed: bytes) -> None:
        # Before the sending, which may take its time: the time for the answer runs from then on.
        self._asked = time.monotonic()
        write(self.connection, packed)

    def read(self, limit: int, is_polled: bool = False) -> list[Any]:
        """Return up to ``limit`` replies and messages that are there, errors among them."""
        replies = read_pushed(self.connection, limit, is_polled)
        if replies:
            self._heard = time.monotonic()
        return replies
