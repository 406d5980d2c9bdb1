"""A connection that listens."""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Callable
from typing import Any, NamedTuple

from redis.connection import SSLConnection
from redis.exceptions import ConnectionError

from asgi_redis.connection.redis_py import descriptor, limit_writes, read_available, write
from asgi_redis.connection.replies import ReplyReader
from asgi_redis.engine.pubsub.subscription import Subscription
from asgi_redis.process.patches import is_patched

_REPLY_SECONDS = 20.0  # for a reply, where no timeout is set


class LinkRequest(NamedTuple):
    """A request of one reply; ``subscription`` is None for a PING."""

    packed: bytes
    subscription: Subscription | None = None
    subscribes: bool = False

    @property
    def name(self) -> bytes:
        """The name that the request is about."""
        return self.subscription.name if self.subscription else b""


class Link:
    """
    A connection that listens, and the requests that it has no reply to yet.

    ``read`` is called with the lock of the subscriptions held, the rest by the listening thread alone.
    """

    def __init__(self, connection: Any, server: bytes | None) -> None:
        self.connection = connection
        self.server = server
        """The id of the server, if it may be asked for."""
        self.is_readable_by_loops = not isinstance(connection, SSLConnection) and not is_patched("socket")
        """Whether its descriptor tells when there is something to read."""
        self.expected: deque[LinkRequest] = deque()
        self._timeout: float = connection.socket_timeout or _REPLY_SECONDS
        limit_writes(connection, self._timeout)
        self._replies = ReplyReader()
        self._heard = self._asked = time.monotonic()

    @property
    def answer_by(self) -> float:
        """When to give it up."""
        return max(self._heard, self._asked) + self._timeout if self.expected else math.inf

    def is_silent(self, since: float) -> bool:
        """Return whether nothing has come since then."""
        return self._heard < since

    def is_overdue(self, since: float) -> bool:
        """Return whether a reply is expected, and nothing has come since then."""
        return bool(self.expected) and max(self._heard, self._asked) <= since

    def fileno(self) -> int:
        """Return the descriptor to poll."""
        number = descriptor(self.connection)
        if number < 0:
            raise ConnectionError("the connection was closed")
        return number

    def ask(self, requests: list[LinkRequest]) -> None:
        """Send requests."""
        if requests:
            # Before the sending, which may take its time: the time for the answer runs from then on.
            self._asked = time.monotonic()
            write(self.connection, b"".join([request.packed for request in requests]))
            self.expected.extend(requests)

    def take(self, answers: Callable[[LinkRequest], bool]) -> LinkRequest | None:
        """Take out the first request that a reply ``answers``; None where there is none."""
        for position, request in enumerate(self.expected):
            if answers(request):
                del self.expected[position]
                return request
        return None

    def read(self, now: float) -> list[Any] | None:
        """
        Return the messages and replies that were there, errors among them.

        None: there was nothing. It never blocks.
        """
        data = read_available(self.connection)
        if not data:
            return None
        self._heard = now
        return self._replies.read(data)
