"""
Round trips that an event loop makes itself: no thread has to be woken.

A loop may end or hang at any moment, and the callers of other loops do not wait for it. So it can be made to
surrender everything to a thread, also a round trip whose requests were sent: the thread reads the replies then.
"""

from __future__ import annotations

import asyncio
import math
import os
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple, Protocol, Union

from redis.exceptions import TimeoutError

from asgi_redis.aio.duplicate import Duplicate
from asgi_redis.aio.loop_waker import NOT_SENT, running_loop
from asgi_redis.aio.runner import Awaited
from asgi_redis.connection import ReplyReader, RoundTrip, Server, Unsent, descriptor
from asgi_redis.wire import Operation

MAX_OPERATIONS = 500  # in one round trip
MAX_BYTES = 1 << 20
_LOOK_SECONDS = 1.0  # between two looks whether a reply is late, or the connection is not used

Request = tuple[Operation, Any]
"""An operation, and the ``Awaited`` of its result."""


class OpenTrip(NamedTuple):
    """A round trip that ``finish`` has to end, and the futures of its outcomes."""

    trip: RoundTrip
    futures: Sequence[Awaited]


Work = Union[Request, OpenTrip]


class TripsOwner(Protocol):
    """The pipeline that has the requests carried out by a loop."""

    @property
    def lock(self) -> Any:
        """Guards the pipeline and its ``LoopTrips``."""

    def is_carried_by(self, trips: LoopTrips) -> bool:
        """Return whether they have not surrendered. With the lock held."""

    def take_over(self, work: Sequence[Work]) -> None:
        """Have a thread do all that is left. With the lock held."""

    @property
    def deliver(self) -> Callable[[Iterable[tuple[Any, Any]]], object]:
        """The function that settles futures. Without the lock."""


class LoopTrips:
    """
    Round trips on one connection for the requests of one event loop.

    While one is under way the next requests wait, and then go together. After any error, and after some seconds
    without requests, everything is surrendered to ``owner``. Raises ``OSError`` where no descriptor is left.
    """

    def __init__(self, owner: TripsOwner, server: Server, connection: Any, loop: asyncio.AbstractEventLoop) -> None:
        self._owner = owner
        self._server = server
        self._connection = connection
        self._loop = loop
        self._reader = ReplyReader(pushed=False)
        self._waiting: list[Request] = []
        self._trip: RoundTrip | None = None
        self._futures: list[Awaited] = []
        self._is_due = False  # whether ``_begin_next`` will be called
        self._is_used = True  # since the last look at the time
        self._is_held = False  # a method further up works on it: a call of the garbage collector must not surrender
        self._must_surrender = False
        self._used_at = time.monotonic()
        self._timeout = math.inf if connection.socket_timeout is None else connection.socket_timeout
        self._timer: asyncio.TimerHandle | None = None
        self._duplicate = Duplicate(descriptor(connection))

    def watch(self) -> None:
        """Have the loop poll the connection. With the lock held."""
        self._is_held = True
        try:
            self._loop.add_reader(self._duplicate, self._readable)
            self._timer = self._loop.call_later(_LOOK_SECONDS, self._look_at_time)
            if self._timeout == math.inf:
                os.set_blocking(self._duplicate.fileno(), False)
        except OSError:
            self._must_surrender = True
        finally:
            self._let_go()

    def is_of(self, loop: asyncio.AbstractEventLoop | None) -> bool:
        """Return whether these are the trips of a loop."""
        return loop is self._loop

    def add(self, request: Request) -> None:
        """Carry out a request. With the lock held."""
        self._waiting.append(request)
        if self._trip is None and not self._is_due and not self._is_held:
            self._begin()

    def surrender(self) -> None:
        """Leave everything to a thread. With the lock held."""
        if self._is_held:
            self._must_surrender = True
            return
        if self._timeout == math.inf:
            os.set_blocking(self._duplicate.fileno(), True)
        trip, self._trip = self._trip, None
        work: list[Work] = [] if trip is None else [OpenTrip(trip, self._futures)]
        if trip is None and self._connection is not None:
            self._server.release(self._connection)
        self._connection = None
        self._owner.take_over([*work, *self._waiting])
        self._waiting = []
        if running_loop() is self._loop:
            self._detach()
            return
        try:
            self._loop.call_soon_threadsafe(self._detach)
        except RuntimeError:  # closed, and no longer watching
            self._end_timer()

    def _detach(self) -> None:
        """Leave the loop, in the loop."""
        self._end_timer()
        self._loop.remove_reader(self._duplicate)
        self._loop.remove_writer(self._duplicate)

    def _end_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()

    # Called by the loop

    def _begin_next(self) -> None:
        with self._owner.lock:
            if self._owner.is_carried_by(self) and self._is_due:
                self._is_due = False
                self._begin()

    def _readable(self) -> None:
        with self._owner.lock:
            outcomes = self._receive() if self._owner.is_carried_by(self) else []
        self._deliver(outcomes)

    def _writable(self) -> None:
        with self._owner.lock:
            if self._owner.is_carried_by(self):
                self._loop.remove_writer(self._duplicate)
                if self._trip is not None:  # the last bytes may have gone out with a read
                    self._write_rest(self._trip)

    def _look_at_time(self) -> None:
        outcomes: list[tuple[Any, Any]] = []
        with self._owner.lock:
            if not self._owner.is_carried_by(self):
                return
            if self._trip is not None and self._is_late(self._trip):
                outcomes = self._receive(may_be_late=True)  # or the loop is late, and not the reply
            elif not (self._is_used or self._trip):
                self.surrender()  # also requests that still wait, after an interruption
                return
            self._is_used = False
            self._timer = self._loop.call_later(_LOOK_SECONDS, self._look_at_time)
        self._deliver(outcomes)

    def _deliver(self, outcomes: list[tuple[Any, Any]]) -> None:
        if outcomes:
            self._owner.deliver(outcomes)
            if self._is_due:
                self._loop.call_soon(self._begin_next)  # after the coroutines that go on now

    # In the loop, with the lock held

    def _write_rest(self, trip: RoundTrip) -> None:
        self._is_held = True
        try:
            self._write(trip)
        finally:
            self._let_go()

    def _is_late(self, trip: RoundTrip) -> bool:
        return time.monotonic() >= trip.active_at + self._timeout

    def _begin(self) -> None:
        """Send the requests that wait."""
        self._is_held = True
        try:
            batch, cancelled = self._take_batch()
            if cancelled:
                self._loop.call_soon(self._owner.deliver, [(future, NOT_SENT) for future in cancelled])
            if batch and self._server.may_keep(self._connection, self._used_at):
                trip = RoundTrip(self._server, self._connection, [request[0] for request in batch], self._reader)
                self._futures = [request[1] for request in batch]
                self._trip = trip
                self._is_used = True
                self._write(trip)
            elif batch:
                self._waiting[:0] = batch
                self._server.discard(self._connection)
                self._connection = None
                self._must_surrender = True
        finally:
            self._let_go()

    def _take_batch(self) -> tuple[list[Request], list[Awaited]]:
        """Take the requests for one round trip, and the futures of cancelled ones."""
        batch: list[Request] = []
        cancelled: list[Awaited] = []
        size = taken = 0
        for request in self._waiting[:MAX_OPERATIONS]:
            if size >= MAX_BYTES:
                break
            taken += 1
            if request[1].cancelled():
                cancelled.append(request[1])
            else:
                batch.append(request)
                size += len(request[0].packed)
        del self._waiting[:taken]
        return batch, cancelled

    def _write(self, trip: RoundTrip) -> None:
        try:
            if not trip.write():
                self._loop.add_writer(self._duplicate, self._writable)
        except Unsent:
            self._must_surrender = True  # a thread connects anew, and sends it
        except BaseException as error:
            trip.fail(error)
            if not isinstance(error, Exception):
                raise

    def _let_go(self) -> None:
        self._is_held = False
        if self._must_surrender or (self._trip is not None and not self._trip.is_served):
            self.surrender()
        elif self._waiting and self._trip is None and not self._is_due:
            self._is_due = True
            self._loop.call_soon(self._begin_next)

    def _receive(self, may_be_late: bool = False) -> list[tuple[Any, Any]]:
        """Read the bytes that are there; return the outcomes when all are there."""
        trip = self._trip
        if trip is None:  # the end of the connection, or stray bytes
            self._server.discard(self._connection)
            self._connection = None
            self.surrender()
            return []
        outcomes: list[tuple[Any, Any]] = []
        self._is_held = True
        try:
            if not trip.receive():
                self._write(trip)  # the rest, or scripts that Redis has not run
                if may_be_late and self._is_late(trip):
                    trip.fail(TimeoutError("Timeout reading from socket"))
            elif trip.is_served:
                outcomes = list(zip(self._futures, trip.outcomes))
                self._trip = None
                self._used_at = trip.active_at
                # A caller that was alone goes on at once; of several, the next requests go together.
                self._is_due = len(outcomes) > 1 or bool(self._waiting)
        finally:
            self._let_go()
        return outcomes
