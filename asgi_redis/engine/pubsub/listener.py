"""
The thread that listens at one server.

It alone uses its connection: what others want to be subscribed to is written down for it, under the lock, and it is
woken. Each request is for one name, and so has one reply, in the order of the requests.
"""

from __future__ import annotations

import logging
import math
import select
import threading
import time
from collections import deque
from typing import TYPE_CHECKING, Any

from redis.exceptions import ConnectionError, RedisError, ResponseError, TimeoutError

from asgi_redis.connection import Shard, as_exception
from asgi_redis.connection.redis_py import descriptor, read_pushed, write
from asgi_redis.engine.outage import Outage
from asgi_redis.engine.pubsub.subscription import Subscription
from asgi_redis.process.wakeup import WakeupPipe
from asgi_redis.wire.pubsub import PING, subscribe, unsubscribe

if TYPE_CHECKING:
    from asgi_redis.engine.pubsub.subscriptions import Subscriptions

logger = logging.getLogger("asgi_redis")

_TICK = 5.0  # seconds between two looks at what needs no hurry: the Sentinels, a connection that is silent
_PATIENCE = 20.0  # seconds for a reply, where no timeout is set
_MOST = 1000  # messages taken in before others get the lock

Request = tuple[bytes, Subscription]


class Listener:
    """Keeps the subscriptions of one shard. Once stopped it is not started again."""

    def __init__(self, shard: Shard, owner: Subscriptions) -> None:
        self.shard = shard
        self.subscriptions: dict[bytes, Subscription] = {}
        self.failures = 0
        """How many times Redis could not be connected to."""
        self.error: Exception = ConnectionError("not connected yet")
        """Why, the last time."""
        self._owner = owner
        self._lock = owner.lock
        self._requests: deque[Request] = deque()
        self._waiter = WakeupPipe()
        self._stopped = False
        self._thread: threading.Thread | None = None
        self._link: _Link | None = None
        self._outage = Outage(shard.host)
        self._was_connected = False

    # For others, who hold the lock

    def add(self, subscription: Subscription) -> None:
        """Subscribes, as soon as it can. Raises ``RuntimeError``, and does not, where no thread can be started."""
        if self._thread is None:
            thread = threading.Thread(target=self._run, name=f"listener at {self.shard.host}", daemon=True)
            thread.start()
            self._thread = thread
        self.subscriptions[subscription.name] = subscription
        self._request(subscribe(subscription.name), subscription)

    def remove(self, subscription: Subscription) -> None:
        """Unsubscribes; nothing is delivered from now on."""
        if self.subscriptions.get(subscription.name) is subscription:
            del self.subscriptions[subscription.name]
            self._request(unsubscribe(subscription.name), subscription)
        subscription.ended = True
        subscription.wake()

    def _request(self, packed: bytes, subscription: Subscription) -> None:
        self._requests.append((packed, subscription))
        self._waiter.wake()

    def stop(self) -> None:
        """Lets the thread end."""
        self._stopped = True
        self._waiter.wake()

    def leave_to_parent(self) -> None:
        """Ends it in a forked process, where its thread goes on if that is a greenlet. Its connection is closed."""
        self._stopped = True

    def join(self, timeout: float) -> None:
        """Waits for the end of the thread; without the lock."""
        if self._thread is not None:
            self._thread.join(timeout)

    # The thread

    def _run(self) -> None:
        while not self._stopped:
            try:
                connection = self.shard.connect()
                self._link = _Link(connection, self.shard.server_of(connection))
                self._serve(self._link)
            except BaseException as error:  # noqa: BLE001  of a provider of credentials; nobody else tries again
                if not self._stopped:
                    delay = self._lost(self.shard.explain(as_exception(error)))
                    self._disconnect()
                    self._pause(delay)
            finally:
                self._disconnect()

    def _disconnect(self) -> None:
        if self._link is not None:
            self._link.connection.disconnect()
            self._link = None

    def _lost(self, error: Exception) -> float:
        """Takes note of a failure; returns the seconds to wait before the next attempt."""
        self.shard.host.lost()
        delay = self._outage.failed(error)
        with self._lock:
            for subscription in list(self.subscriptions.values()):
                subscription.confirmed = False
            if self._link is not None and self._link.established:
                self._was_connected = True
                self._owner.notices.begin()
            else:
                self.failures += 1
                self.error = error
            for subscription in list(self.subscriptions.values()):
                subscription.wake()
        return delay

    def _pause(self, seconds: float) -> None:
        poll, until = _Poll(self._waiter), time.monotonic() + seconds
        while not self._stopped and (remaining := until - time.monotonic()) > 0:
            if poll.wait(remaining):
                self._waiter.clear()

    def _serve(self, link: _Link) -> None:
        with self._lock:
            self._requests.clear()  # they are among these
            requests = [(subscribe(one.name), one) for one in list(self.subscriptions.values())]
        link.ask(requests)
        poll = _Poll(link, self._waiter)
        sweep_at = time.monotonic() + self._owner.sweep_interval
        look_at = time.monotonic() + _TICK
        while not self._stopped:
            if not link.expected and not link.established:
                self._established(link)
            ready = poll.wait(min(look_at, sweep_at, link.answer_by) - time.monotonic())
            if self._waiter in ready:
                self._waiter.clear()
                with self._lock:
                    requests = list(self._requests)
                    self._requests.clear()
                link.ask(requests)
            if link in ready:
                self._take(link)
            now = time.monotonic()
            if now >= link.answer_by:
                raise TimeoutError(f"{self.shard.host} does not answer")
            if now >= sweep_at:
                self._owner.sweep()
                sweep_at = now + self._owner.sweep_interval
            if now >= look_at:
                if not self.shard.host.is_current(link.connection):
                    raise ConnectionError(f"{self.shard.host} has another master")
                if now >= link.connection.retire_at:
                    self._look_where_it_leads(link)
                link.ping(now - _TICK)
                look_at = now + _TICK

    def _look_where_it_leads(self, link: _Link) -> None:
        """Raises where the host is another server by now. The old one may live on, and be silent."""
        try:
            server, until = self.shard.server_now()
        except RedisError:
            return  # what was connected to is better than nothing
        if server != link.server:
            raise ConnectionError(f"{self.shard.host} leads to another server")
        link.connection.retire_at = until

    def _established(self, link: _Link) -> None:
        link.established = True
        self._outage.succeeded()
        if self._was_connected:
            self._was_connected = False
            with self._lock:
                self._owner.notices.end()

    def _take(self, link: _Link) -> None:
        replies = link.read(_MOST, is_polled=True)
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
            replies = link.read(_MOST) if len(replies) == _MOST else []

    def _answered(self, link: _Link, reply: Any) -> None:
        if not link.expected:
            # A proxy, or the server on its way out, which says so unasked.
            raise reply if isinstance(reply, Exception) else ConnectionError(f"{self.shard.host} is out of step")
        subscription = link.expected.popleft()
        if subscription is None or subscription.ended:
            return  # whatever it is, Redis is there
        if isinstance(reply, Exception):
            if subscription.confirmed_once:
                raise reply  # it was allowed once, and may be again
            subscription.refusal = self.shard.explain(reply) if isinstance(reply, ResponseError) else reply
            self._owner.end(subscription)
        else:
            subscription.confirmed = subscription.confirmed_once = True
            subscription.wake()


class _Link:
    """A connection that listens, and what it is still to be answered."""

    def __init__(self, connection: Any, server: bytes | None) -> None:
        self.connection = connection
        self.server = server
        """Which server it leads to, if that may be asked."""
        self.established = False
        self.expected: deque[Subscription | None] = deque()  # None stands for a PING
        self._patience: float = connection.socket_timeout or _PATIENCE
        self._heard = self._asked = time.monotonic()

    @property
    def answer_by(self) -> float:
        """When it is to be given up."""
        return max(self._heard, self._asked) + self._patience if self.expected else math.inf

    def fileno(self) -> int:
        """What can be polled."""
        number = descriptor(self.connection)
        if number < 0:
            raise ConnectionError("the connection was closed")
        return number

    def ask(self, requests: list[Request]) -> None:
        """Sends requests."""
        if requests:
            self._send(b"".join([packed for packed, _ in requests]))
            self.expected.extend(subscription for _, subscription in requests)

    def ping(self, silent_since: float) -> None:
        """Sees whether Redis is still there, if it has not been heard since."""
        if self._heard < silent_since and not self.expected:
            self._send(PING)
            self.expected.append(None)

    def _send(self, packed: bytes) -> None:
        # Before the sending, which may take its time: the answers are waited for from then on.
        self._asked = time.monotonic()
        write(self.connection, packed)

    def read(self, limit: int, is_polled: bool = False) -> list[Any]:
        """Return up to ``limit`` of the replies and messages that are there, errors among them."""
        replies = read_pushed(self.connection, limit, is_polled)
        if replies:
            self._heard = time.monotonic()
        return replies


class _Poll:
    """Waits until some can be read from."""

    def __init__(self, *readable: Any) -> None:
        self._poll = select.poll()
        self._by_descriptor = {one.fileno(): one for one in readable}
        for number in self._by_descriptor:
            self._poll.register(number, select.POLLIN)

    def wait(self, timeout: float) -> list[Any]:
        """Returns those that can be, after ``timeout`` seconds at most."""
        milliseconds = math.ceil(max(0.0, timeout) * 1000)
        return [self._by_descriptor[descriptor] for descriptor, _ in self._poll.poll(milliseconds)]
