"""The fan-out of groups: messages for several channels of this process."""

from __future__ import annotations

import _thread  # whose RLock gevent leaves as it is: hubs and native threads share the layer
import contextlib
import copy
import math
import time
from collections import OrderedDict, deque
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from itertools import repeat
from operator import attrgetter, itemgetter
from typing import Any

from asgi_redis.wire.expiry import is_over
from asgi_redis.wire.message import Message
from asgi_redis.wire.names import queue_of

MOST_BYTES = 64 << 20
"""The limit of the messages of one layer; beyond it the oldest are dropped."""
_FIRST = itemgetter(0)
_SCORE = attrgetter("score")
_CHANNEL_BYTES = 200  # that a channel's name takes up, or a little less


class SharedMessage:
    """
    One message for several channels of a queue.

    Each channel gets an object for itself, which ``decode`` makes of ``data``; the first gets ``decoded``, if that is
    there. ``expires`` is a time of ``time.monotonic``.
    """

    __slots__ = ("_data", "_decode", "_decoded", "channels", "expires", "queue", "score", "size")

    def __init__(
        self,
        queue: str,
        channels: Iterable[str],
        data: Any,
        decode: Callable[[Any], Message],
        expires: float,
        decoded: Message | None = None,
    ) -> None:
        self.queue = queue
        self.channels = deque(channels)
        self.expires = expires
        self.score = 0.0
        self.size = _CHANNEL_BYTES * len(self.channels) + (len(data) if isinstance(data, bytes) else 0)
        self._data = data
        self._decode = decode
        self._decoded = {0: decoded}

    def message(self) -> Message:
        """Return the message, a new object each time. Raises any error of the serialiser."""
        message = self._decoded.pop(0, None)  # one call in C, so that only one thread gets it
        return self._decode(self._data) if message is None else message


Lost = Callable[[str, int], object]
"""A function that is called with a queue and the number of its messages that are lost."""
Share = tuple[SharedMessage, str]
"""A message and one of the channels that it is for."""


class FanOutBuffer:
    """
    The rest of messages that are for several channels of this process.

    One entry of a process-local queue serves all the members of a group that live in the process. The first gets the
    message from Redis, the others from here, until it expires. ``dropped`` is called with the queue and the number of
    its channels that lose a message to ``MOST_BYTES``, and ``expired`` in the same way where it expires.
    """

    def __init__(
        self, dropped: Lost = lambda queue, number: None, expired: Lost = lambda queue, number: None
    ) -> None:
        self._lock = _thread.RLock()
        self.queues: OrderedDict[str, deque[SharedMessage]] = OrderedDict()
        """The messages by queue. Other objects only look whether there are any."""
        self._size = 0
        self._dropped = dropped
        self._expired = expired

    def add(self, channel: str, message: Message, expiry: float) -> None:
        """Buffer an unused message for the next reader of its channel."""
        self.put(SharedMessage(queue_of(channel), [channel], message, copy.deepcopy, time.monotonic() + expiry))

    def put(
        self, shared: SharedMessage, score: float | None = None, entries: list[Any] | None = None, position: int = 0
    ) -> None:
        """
        Buffer a message: before messages with a higher ``score``, by default last.

        In the same step its origin, the entry at ``position``, is removed from ``entries``.
        """
        origin = [None] if entries is None else entries
        with self._lock:
            self._drop_expired(time.monotonic())
            messages = self.queues.setdefault(shared.queue, deque())
            shared.score = score if score is not None else messages[-1].score if messages else 0.0
            # One call in C, which no interruption can divide: the message is in one of the two places, never in both.
            messages.extend(map(_FIRST, zip((shared,), map(origin.pop, (position,)))))
            if len(messages) > 1 and messages[-2].score > shared.score:
                self.queues[shared.queue] = deque(sorted(messages, key=_SCORE))
            self._size += shared.size
            lost = self._drop_oldest() if self._size > MOST_BYTES else []
        for one in lost:
            self._dropped(one.queue, len(one.channels))

    def newest(self) -> dict[str, float]:
        """Return the highest score of each queue."""
        with self._lock:
            return {queue: messages[-1].score for queue, messages in self.queues.items() if messages}

    def take(
        self, queues: Collection[str], limit: int, taken: list[Share], newest: Mapping[str, float] | None = None
    ) -> None:
        """Move up to ``limit`` shares to ``taken``, of messages no newer than ``newest``."""
        with self._lock:
            now = time.monotonic()
            full = len(taken) + limit
            for queue in [queue for queue in self.queues if queue in queues]:
                messages = self.queues[queue]
                last = math.inf if newest is None else newest.get(queue, -math.inf)
                while messages and len(taken) < full and messages[0].score <= last:
                    shared = messages[0]
                    if is_over(shared.expires, now):
                        lost = len(shared.channels)
                        shared.channels.clear()
                        self._expired(queue, lost)
                    number = min(full - len(taken), len(shared.channels))
                    # One call in C, as above.
                    taken.extend(zip(repeat(shared, number), map(deque.popleft, repeat(shared.channels))))
                    if not shared.channels:
                        messages.popleft()
                        self._size -= shared.size
                if not messages:
                    self._forget(queue)

    def requeue(self, taken: Sequence[Share]) -> None:
        """Put shares back, after an interruption that may have come in here."""
        # An interruption at the end of a ``with`` has left the lock with this thread.
        with contextlib.suppress(RuntimeError):  # raised when it is not
            while True:
                self._lock.release()
        with self._lock:
            for shared, channel in reversed(taken):
                messages = self.queues.setdefault(shared.queue, deque())
                shared.channels.appendleft(channel)
                if not messages or messages[0] is not shared:
                    messages.appendleft(shared)
                    self._size += shared.size

    def _drop_expired(self, now: float) -> None:
        """Drop expired messages of two queues, which may have no reader any more."""
        for _ in range(min(2, len(self.queues))):
            queue, messages = next(iter(self.queues.items()))
            while messages and is_over(messages[0].expires, now):
                shared = messages.popleft()
                self._size -= shared.size
                self._expired(queue, len(shared.channels))
            if messages:
                self.queues.move_to_end(queue)
            else:
                self._forget(queue)

    def _drop_oldest(self) -> list[SharedMessage]:
        lost = []
        while self._size > MOST_BYTES and self.queues:
            queue, messages = next(iter(self.queues.items()))
            if messages:
                lost.append(messages.popleft())
                self._size -= lost[-1].size
            else:
                self._forget(queue)
        return lost

    def _forget(self, queue: str) -> None:
        del self.queues[queue]
        if not self.queues:
            self._size = 0  # an interruption may have left some in it
