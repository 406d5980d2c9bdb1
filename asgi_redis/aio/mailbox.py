"""
What has come in and not yet been taken, and the coroutines that wait for it.

A message stays in its buffer until the coroutine that takes it runs: whoever waits is only told that there is one.
So nothing is lost when that coroutine is cancelled or its loop closed in the meantime; the next one is told.
"""

from __future__ import annotations

import asyncio
import functools
import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from asgi_redis.aio.group_message import Copies
from asgi_redis.aio.lanes import Lane, Lanes
from asgi_redis.aio.runner import call_in
from asgi_redis.aio.waiters import Aim, Box, Message, Popper, Waiting
from asgi_redis.connection import each_its_own
from asgi_redis.engine.fanout import SharedMessage
from asgi_redis.process import fork
from asgi_redis.wire.expiry import is_over

logger = logging.getLogger("asgi_redis")

_MOMENT = 0.001  # seconds, by which what expires has expired
_SWEEP_SECONDS = 5.0
_MOST_CHANNELS = 250_000  # with a buffer; a message may name any number of channels that nothing waits for


class Inbox:
    """
    The buffers of one layer, and those who wait; safe for threads and loops.

    ``queue_of`` returns the name to receive from for a channel, ``capacity`` how many messages may be kept for it,
    ``expiry`` is for how many seconds. ``make_popper`` and ``most_lanes`` are for ``Lanes``.
    """

    patient = False
    """Whether those who come for a process-local channel during an outage wait on, as a message tells of its end."""

    def __init__(
        self,
        queue_of: Callable[[str], str],
        capacity: Callable[[str], int],
        expiry: float,
        make_popper: Callable[[Inbox, Lane], Popper],
        most_lanes: int,
    ) -> None:
        self._queue_of = queue_of
        self._capacity = capacity
        self._expiry = expiry
        self._make_popper = make_popper
        self._most_lanes = most_lanes
        self.start_process()
        fork.register(self)

    def start_process(self) -> None:
        """Starts empty: who waits, and what was kept, is the parent's."""
        self._lock = threading.Lock()
        self.dropped_count = 0
        self._boxes: dict[str, Box] = {}
        self._copies = Copies()
        self.lanes = Lanes(functools.partial(self._make_popper, self), self._most_lanes)
        self._told: set[Waiting] = set()
        self._left: deque[Waiting] = deque()  # who was collected as garbage
        self._expires = 0.0  # when the latest message does
        self._sweep_at = 0.0

    @property
    def lock(self) -> threading.Lock:
        """What guards all of this."""
        fork.check()
        return self._lock

    # In the loops

    async def receive(self, channel: str) -> Message:
        """Returns the next message of ``channel``; waits for it."""
        loop = asyncio.get_running_loop()
        waiting: Waiting | None = None
        while True:
            with self.lock:
                if waiting is not None:
                    self._heard(waiting)
                message = self._take(channel)
                if message is not None:
                    return message
                queue = self._queue_of(channel)
                lane = self.lanes.find(queue)
                lane.popper.start()
                waiting = Waiting(channel, queue, lane, loop.create_future())
                self._enter(waiting)
            try:
                await waiting.future
            except GeneratorExit:
                # The garbage collector may come in between anything, and even hold the lock here.
                self._left.append(waiting)
                raise
            except BaseException:
                with self.lock:
                    self._leave(waiting)
                raise

    def _take(self, channel: str) -> Message | None:
        box = self._boxes.get(channel)
        if box is None:
            return None
        now = time.monotonic()
        found: Message | None = None
        while box.messages and found is None:
            expires, message = box.messages.popleft()
            if isinstance(message, SharedMessage):
                found = self._own(message) if not is_over(message.expires, now) else None
            elif not is_over(expires, now):
                found = message
            self.dropped_count += found is None
        self._tidy(channel, box)
        return found

    def _own(self, shared: SharedMessage) -> Message | None:
        try:
            return self._copies.message(shared)
        except Exception:  # noqa: BLE001  a serialiser may raise anything; it counts as dropped
            return None

    def _enter(self, waiting: Waiting) -> None:
        box = self._boxes.get(waiting.channel)
        if box is None:
            box = self._boxes[waiting.channel] = Box()
        box.waiting.append(waiting)
        lane = waiting.lane
        sure = lane.is_known_to_serve(others=bool(self.lanes.by_queue))
        is_first = self.lanes.want(waiting.queue, lane)
        if not sure and not (self.patient and "!" in waiting.channel):
            lane.newcomers.add(waiting)
        if not sure or is_first:
            lane.change()

    def _leave(self, waiting: Waiting) -> None:
        waiting.lane.newcomers.discard(waiting)
        box = self._boxes.get(waiting.channel)
        if waiting.told_by is not None:
            self._heard(waiting)
            if box is not None and box.messages:
                self._tell(self._next(box))
        elif box is not None and waiting in box.waiting:
            box.waiting.remove(waiting)
            if self.lanes.unwant(waiting.queue):
                waiting.lane.change()
        if box is not None:
            self._tidy(waiting.channel, box)

    def waits(self, channel: str) -> bool:
        """Whether a ``receive`` waits for a message of ``channel``, in a loop that is not closed."""
        # Without the lock: callers hold one that a coroutine may want which is collected while this one is held.
        box = self._boxes.get(channel)
        waiting = [] if box is None else list(box.waiting)
        return any(one not in self._left and not one.future.get_loop().is_closed() for one in waiting)

    def notify(self, kind: str, others: Iterable[str]) -> None:
        """Gives a message of the type ``kind`` to all process-local channels that are waited for, and to others."""
        with self.lock:
            channels = [channel for channel, box in self._boxes.items() if box.waiting and "!" in channel]
        self.deliver([(channel, {"type": kind}) for channel in dict.fromkeys([*channels, *others])])

    # For the thread that receives

    def aim(self, lane: Lane) -> Aim | None:
        """Returns what to receive, or None when nothing is waited for. To be called with the lock held."""
        while self._left:
            self._leave(self._left.popleft())
        return lane.aim()

    def deliver(self, batch: Iterable[tuple[str, Message | SharedMessage]]) -> None:
        """Puts messages into the buffers, and tells those who wait for them."""
        with self.lock:
            told: list[Waiting] = []
            expires = self._expires = time.monotonic() + self._expiry
            for channel, message in batch:
                box = self._boxes.get(channel)
                if box is None:
                    if len(self._boxes) >= _MOST_CHANNELS:
                        self.dropped_count += 1
                        continue
                    box = self._boxes[channel] = Box()
                box.messages.append((expires, message))
                untold = len(box.messages) - box.told
                if untold > 1 and untold > self._room(channel):  # one has room whatever the capacity
                    box.messages.popleft()
                    self.dropped_count += 1
                told += self._next(box)
            self._tell(told)

    def _room(self, channel: str) -> int:
        try:
            return self._capacity(channel)
        except BaseException:
            # A subclass of the layer may say anything here, and the others' messages must arrive.
            logger.exception("The capacity of channel %r is not known: its latest message is kept", channel)
            return 1

    def _next(self, box: Box) -> list[Waiting]:
        if not box.waiting:
            return []
        waiting = box.waiting.popleft()
        waiting.told_by = box
        box.told += 1
        self._told.add(waiting)
        waiting.lane.newcomers.discard(waiting)
        self.lanes.unwant(waiting.queue)
        return [waiting]

    def _heard(self, waiting: Waiting) -> None:
        """Takes note that one who was told has come, or never will."""
        self._told.discard(waiting)
        if waiting.told_by is not None:
            waiting.told_by.told -= 1
            waiting.told_by = None

    def _tell(self, told: list[Waiting]) -> None:
        while told:
            by_loop: dict[asyncio.AbstractEventLoop, list[Waiting]] = {}
            for waiting in told:
                by_loop.setdefault(waiting.future.get_loop(), []).append(waiting)
            told = []
            for loop, some in by_loop.items():
                if not call_in(loop, _set, [waiting.future for waiting in some]):
                    told += self._gone(some)

    def _gone(self, some: Iterable[Waiting]) -> list[Waiting]:
        """Those whose loop was closed are there no longer. Returns who is next."""
        others = []
        for waiting in some:
            self._heard(waiting)
            box = self._boxes.get(waiting.channel)
            if box is not None and box.messages:
                others += self._next(box)
        return others

    def served(self, lane: Lane) -> None:
        """Takes note that messages are served."""
        with self.lock:
            lane.served()

    def fail_newcomers(self, lane: Lane, error: Exception) -> None:
        """Gives the error to all who have come since messages were served the last time."""
        with self.lock:
            self._fail(list(lane.newcomers), error)

    def fail(self, lane: Lane, error: Exception) -> None:
        """Gives all who wait for the queues of a lane the error. To be called with the lock held."""
        waiting = [one for box in self._boxes.values() for one in box.waiting]
        self._fail([one for one in waiting if one.lane is lane], error)

    def _fail(self, some: Sequence[Waiting], error: Exception) -> None:
        for waiting, own in zip(some, each_its_own(error, len(some))):
            box = self._boxes[waiting.channel]
            box.waiting.remove(waiting)
            waiting.lane.newcomers.discard(waiting)
            self.lanes.unwant(waiting.queue)
            self._tidy(waiting.channel, box)
            call_in(waiting.future.get_loop(), _set_error, waiting.future, own)

    def sweep(self, at_once: bool = False) -> None:
        """Drops what has expired, and those whose loop was closed; every five seconds, or ``at_once``."""
        now = time.monotonic()
        if now < self._sweep_at and not at_once:
            return
        with self.lock:
            self._copies.forget()
            self._sweep_at = now + _SWEEP_SECONDS
            told = [waiting for waiting in self._told if waiting.future.get_loop().is_closed()]
            self._tell(self._gone(told))
            for channel, box in list(self._boxes.items()):
                while box.messages and box.messages[0][0] < now:
                    box.messages.popleft()
                    self.dropped_count += 1
                for waiting in [one for one in box.waiting if one.future.get_loop().is_closed()]:
                    self._leave(waiting)
                self._tidy(channel, box)

    def surrender(self) -> list[tuple[str, Message]]:
        """Returns what other processes could receive, and nobody here will, and forgets it. With the lock held."""
        for waiting in [one for one in self._told if not one.future.get_loop().is_running()]:
            self._heard(waiting)
        surplus: list[tuple[str, Any]] = []
        for channel, box in list(self._boxes.items()):
            while "!" not in channel and len(box.messages) > box.told:
                surplus.append((channel, box.messages.popleft()[1]))
            self._tidy(channel, box)
        return surplus

    def time_left(self) -> float | None:
        """Returns in how many seconds all that is kept now will have expired; None when there is nothing."""
        with self.lock:
            left = self._expires - time.monotonic() + _MOMENT
            return left if left > 0 else None

    def forget(self) -> None:
        """Drops all messages."""
        with self.lock:
            self._copies.forget()
            for channel, box in list(self._boxes.items()):
                box.messages.clear()
                self._tidy(channel, box)

    # With the lock held

    def _tidy(self, channel: str, box: Box) -> None:
        if not box.messages and not box.waiting and self._boxes.get(channel) is box:
            del self._boxes[channel]


def _set(futures: Iterable[asyncio.Future[None]]) -> None:
    for future in futures:
        if not future.done():
            future.set_result(None)


def _set_error(future: asyncio.Future[None], error: Exception) -> None:
    if not future.done():
        future.set_exception(error)
