"""The requests of all callers to one server, in the order of their submission."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterable, Sequence
from queue import SimpleQueue
from typing import Any

from asgi_redis.aio.loop_trips import MAX_BYTES, MAX_OPERATIONS, LoopTrips, OpenTrip, Request, Work
from asgi_redis.aio.loop_waker import NOT_SENT, running_loop, settle
from asgi_redis.aio.runner import AnyFuture, IOThreads
from asgi_redis.connection import Server, pipeline_execute
from asgi_redis.wire import Operation


class Pipeline(IOThreads[Work]):
    """
    Makes one round trip to a server for all operations submitted in the meantime.

    While its thread has nothing to do and a connection is at hand, the loop of the caller does it itself. The thread
    does the rest: for several loops at a time, where it takes waiting to connect, and after errors. ``deliver`` is
    given the futures with their results and errors, or ``NOT_SENT`` where one was cancelled before it was sent.
    """

    def __init__(self, server: Server, deliver: Callable[[Iterable[tuple[Any, Any]]], object] = settle) -> None:
        super().__init__(f"pipeline to {server.host}")
        self._server = server
        self.deliver = deliver

    def start_process(self) -> None:
        super().start_process()
        self._at_rest = False
        self._trips: LoopTrips | None = None

    @property
    def lock(self) -> threading.RLock:
        """Guards the pipeline and its trips."""
        return self._lock

    def submit(self, operation: Operation, future: AnyFuture) -> AnyFuture:
        """Return ``future``, which gets the result of ``operation``."""
        with self._lock:
            trips = self._trips
            loop = running_loop()
            if loop is not future.get_loop():
                loop = None  # the thread has to carry it out, as this one may wait for it
            if trips is None or not trips.is_of(loop):
                trips = self._trips_for(loop)
            if trips is not None:
                trips.add((operation, future))
            elif self._can_run():
                self.take_over([(operation, future)])
            else:
                self._make_trip([(operation, future)])
        return future

    def _trips_for(self, loop: asyncio.AbstractEventLoop | None) -> LoopTrips | None:
        """Return the trips of a loop that has none, where the thread is not needed."""
        if self._trips is not None:
            self._trips.surrender()  # its loop may have ended
        if loop is not None and self._trips is None and self._at_rest and self._can_run():
            connection = self._server.checkout_for_loop()
            if connection is not None:
                self._lend(connection, loop)
        return self._trips

    def _lend(self, connection: Any, loop: asyncio.AbstractEventLoop) -> None:
        try:
            trips = LoopTrips(self, self._server, connection, loop)
        except OSError:  # there may be no more descriptors
            self._server.release(connection)
            return
        if self._trips is not None or not self._at_rest:  # the garbage collector has made a request meanwhile
            self._server.release(connection)
            return
        self._trips = trips
        trips.watch()

    def is_carried_by(self, trips: LoopTrips) -> bool:
        """Return whether they have not surrendered. With the lock held."""
        return self._trips is trips

    def take_over(self, work: Sequence[Work]) -> None:
        """Have the thread do work. With the lock held."""
        self._trips = None
        if work:
            self._can_run()  # ``stop`` may have come in the middle of a trip
            self._at_rest = False
        for item in work:
            self._queue.put(item)

    def stop(self) -> list[threading.Thread]:
        with self._lock:
            if self._trips is not None:
                self._trips.surrender()
            return super().stop()

    # The thread

    def _run(self, queue: SimpleQueue[Work | None]) -> None:
        left: list[Work | None] = []  # taken from the queue, and not for the current round trip
        while True:
            item = left.pop() if left else self._next(queue)
            if item is None:
                return
            if isinstance(item, OpenTrip):
                self.deliver(zip(item.futures, item.trip.finish()))
                continue
            batch, size = [item], len(item[0].packed)
            while size < MAX_BYTES and len(batch) < MAX_OPERATIONS and not queue.empty():
                item = queue.get()
                if item is None or isinstance(item, OpenTrip):
                    left.append(item)
                    break
                batch.append(item)
                size += len(item[0].packed)
            self._make_trip(batch)

    def _make_trip(self, batch: Sequence[Request]) -> None:
        wanted: list[Request] = []
        cancelled: list[Any] = []
        for request in batch:
            if request[1].cancelled():
                cancelled.append(request[1])
            else:
                wanted.append(request)
        if cancelled:
            self.deliver([(future, NOT_SENT) for future in cancelled])
        if wanted:
            outcomes = pipeline_execute(self._server, [request[0] for request in wanted])
            self.deliver(zip([request[1] for request in wanted], outcomes))

    def _next(self, queue: SimpleQueue[Work | None]) -> Work | None:
        with self._lock:
            self._at_rest = queue.empty()
        return queue.get()
