"""Messages that this process has taken off Redis and not yet handed out: the fan-out of groups."""

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

MOST_BYTES = 64 << 20
"""What the messages of one layer may take up; beyond it the oldest are dropped."""
_FIRST = itemgetter(0)
_SCORE = attrgetter("score")
_CHANNEL_BYTES = 200  # that a channel's name takes up, or a little less


class SharedMessage:
    """
    One message for several channels of a queue, as bytes: each of them gets an object of its own from ``decode``.

    ``expires`` is a time of ``time.monotonic``.
    """

    __slots__ = ("_data", "_decode", "channels", "expires", "queue", "score", "size")

    def __init__(
        self, queue: str, channels: Iterable[str], data: Any, decode: Callable[[Any], dict[str, Any]], expires: float
    ) -> None:
        self.queue = queue
        self.channels = deque(channels)
        self.expires = expires
        self.score = 0.0
        self.size = _CHANNEL_BYTES * len(self.channels) + (len(data) if isinstance(data, bytes) else 0)
        self._data = data
        self._decode = decode

    def message(self) -> dict[str, Any]:
        """Returns the message, a new object each time. Raises what the serialiser raises."""
        return self._decode(self._data)


Share = tuple[SharedMessage, str]
"""A message and one of the channels that it is for."""


class FanOutBuffer:
    """
    The rest of messages that are for several channels of this process.

    One entry of a process-local queue serves all the members of a group that live in the process. The first gets
    it from Redis, the others from here, until it expires. ``dropped`` is called with the number of channels that lose
    a message to ``MOST_BYTES``.
    """

    def __init__(self, dropped: Callable[[str, int], object] = lambda channel, number: None) -> None:
        self._lock = _thread.RLock()
        self._queues: OrderedDict[str, deque[SharedMessage]] = OrderedDict()
        self._size = 0
        self._dropped = dropped

    def put(
        self,
        queue: str,
        channels: Iterable[str],
        data: Any,
        expires_in: float,
        decode: Callable[[Any], dict[str, Any]] = copy.deepcopy,
        entries: list[Any] | None = None,
        position: int = 0,
        score: float | None = None,
    ) -> SharedMessage:
        """
        Keeps a message for ``channels``, all of them of ``queue``, for ``expires_in`` seconds; returns it.

        ``decode`` makes it of ``data``, a new one for each channel. What it was made of is taken out of ``entries``.

        It comes before those with a higher ``score``, by default after all others.
        """
        now = time.monotonic()
        shared = SharedMessage(queue, channels, data, decode, now + expires_in)
        origin = [None] if entries is None else entries
        with self._lock:
            self._drop_expired(now)
            kept = self._queues.setdefault(queue, deque())
            # One call in C, which no interruption can divide: the message is in one of the two places, never in both.
            shared.score = score if score is not None else kept[-1].score if kept else 0.0
            kept.extend(map(_FIRST, zip((shared,), map(origin.pop, (position,)))))
            if len(kept) > 1 and kept[-2].score > shared.score:
                self._queues[queue] = deque(sorted(kept, key=_SCORE))
            self._size += shared.size
            lost = self._drop_oldest() if self._size > MOST_BYTES else []
        for one in lost:
            self._dropped(one.queue, len(one.channels))
        return shared

    def newest(self) -> dict[str, float]:
        """Returns the highest score of each queue."""
        with self._lock:
            return {queue: kept[-1].score for queue, kept in self._queues.items() if kept}

    def take(
        self, queues: Collection[str], limit: int, taken: list[Share], newest: Mapping[str, float] | None = None
    ) -> None:
        """Adds up to ``limit`` shares for ``queues`` to ``taken``, of those that are no newer than ``newest``."""
        with self._lock:
            now = time.monotonic()
            full = len(taken) + limit
            for queue in [queue for queue in self._queues if queue in queues]:
                kept = self._queues[queue]
                last = math.inf if newest is None else newest.get(queue, -math.inf)
                while kept and len(taken) < full and kept[0].score <= last:
                    shared = kept[0]
                    if is_over(shared.expires, now):
                        shared.channels.clear()
                    number = min(full - len(taken), len(shared.channels))
                    # One call in C, as above.
                    taken.extend(zip(repeat(shared, number), map(deque.popleft, repeat(shared.channels))))
                    if not shared.channels:
                        kept.popleft()
                        self._size -= shared.size
                if not kept:
                    self._forget(queue)

    def requeue(self, taken: Sequence[Share]) -> None:
        """Makes undone what ``take`` has done, after an interruption of a call that may have been in here."""
        # One that has come at the end of a ``with`` has left the lock with this thread.
        with contextlib.suppress(RuntimeError):  # raised when it is not
            while True:
                self._lock.release()
        with self._lock:
            for shared, channel in reversed(taken):
                kept = self._queues.setdefault(shared.queue, deque())
                shared.channels.appendleft(channel)
                if not kept or kept[0] is not shared:
                    kept.appendleft(shared)
                    self._size += shared.size

    def _drop_expired(self, now: float) -> None:
        """Looks at two queues, others each time: nobody may read them any more."""
        for _ in range(min(2, len(self._queues))):
            queue, kept = next(iter(self._queues.items()))
            while kept and is_over(kept[0].expires, now):
                self._size -= kept.popleft().size
            if kept:
                self._queues.move_to_end(queue)
            else:
                self._forget(queue)

    def _drop_oldest(self) -> list[SharedMessage]:
        lost = []
        while self._size > MOST_BYTES and self._queues:
            queue, kept = next(iter(self._queues.items()))
            if kept:
                lost.append(kept.popleft())
                self._size -= lost[-1].size
            else:
                self._forget(queue)
        return lost

    def _forget(self, queue: str) -> None:
        del self._queues[queue]
        if not self._queues:
            self._size = 0  # whatever an interruption may have left in it

    def __contains__(self, queue: str) -> bool:
        return queue in self._queues

    def __bool__(self) -> bool:
        return bool(self._queues)
