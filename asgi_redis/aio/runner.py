"""
The threads that do the work of awaiting callers, and bring the results back into their loops.

A loop may be closed at any time, and another take its place: nothing here belongs to a loop. All the results for one
loop go there in one call.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import threading
import time
from collections.abc import Callable, Iterable
from queue import SimpleQueue
from typing import Any, Generic, Optional, TypeVar, Union

from redis.exceptions import RedisError

from asgi_redis.connection import Plan, Shard, as_exception, begin, pipeline_execute
from asgi_redis.process import fork
from asgi_redis.process.time_limits import start_or_run
from asgi_redis.wire import Operation

Work = TypeVar("Work")
T = TypeVar("T")
Item = tuple[Work, "Future"]
Queue = SimpleQueue[Optional[Item[Work]]]
Future = Union["asyncio.Future[Any]", "Result[Any]"]
AnyFuture = TypeVar("AnyFuture", "asyncio.Future[Any]", "Result[Any]")
Begun = tuple[Operation, Any]
"""An operation, and the connection on which it was sent already, or None."""

_MOST_OPERATIONS = 500  # in one round trip
_MOST_BYTES = 1 << 20


class Result(concurrent.futures.Future[T]):
    """The future of a thread, which blocks in ``result``. What is to be called in its loop, is called at once."""

    def get_loop(self) -> Result[T]:
        """Returns what ``call_in`` takes."""
        return self

    def call_soon_threadsafe(self, function: Callable[..., object], *arguments: object) -> None:
        """Calls ``function``."""
        function(*arguments)


Loop = Union[asyncio.AbstractEventLoop, "Result[Any]"]


class Carrier(Generic[Work]):
    """Some daemon threads, started when there is work, and the queue of that work."""

    may_start = True
    """Whether threads may be started still; not at the end of the interpreter."""

    def __init__(self, name: str, threads: int = 1) -> None:
        self._name = name
        self._number = threads
        self.start_process()
        fork.register(self)

    def start_process(self) -> None:
        """Starts without threads and work: those of the parent are its own."""
        self._queue: Queue[Work] = SimpleQueue()
        self._threads: list[threading.Thread] = []
        # Reentrant: the garbage collector may end a coroutine anywhere, which then calls from its ``finally``.
        self._own_lock = threading.RLock()

    @property
    def _lock(self) -> threading.RLock:
        fork.check()
        return self._own_lock

    def submit(self, work: Work, loop: asyncio.AbstractEventLoop) -> asyncio.Future[Any]:
        """Returns a future of ``loop``, in which this is called, for the result."""
        future = loop.create_future()
        with self._lock:  # what comes after the end of the threads would wait for ever
            if self._threads or self._start():
                self._queue.put((work, future))
                return future
        settle([(future, self._do(work))])
        return future

    def _do(self, work: Work) -> Any:
        """Returns the result of ``work``, or the error: does it at once, where there can be no thread for it."""
        raise NotImplementedError

    def _start(self) -> bool:
        """Returns whether there are threads now: at the end of the interpreter none can be started."""
        if self.may_start:
            for number in range(self._number):
                thread = threading.Thread(
                    target=self._run, args=(self._queue,), name=f"{self._name} {number}", daemon=True
                )
                try:
                    thread.start()
                except RuntimeError:
                    break
                self._threads.append(thread)
        return bool(self._threads)

    def end(self) -> None:
        """Lets the threads end when they have done what there is. For finalisers, which must not take a lock."""
        for _ in self._threads:
            self._queue.put(None)

    def close(self, timeout: float) -> None:
        """Ends the threads, and waits up to ``timeout`` seconds for them. The next work starts others."""
        with self._lock:
            threads, self._threads = self._threads, []
            queue, self._queue = self._queue, SimpleQueue()
        for _ in threads:
            queue.put(None)
        deadline = time.monotonic() + timeout
        for thread in threads:
            thread.join(max(0.0, deadline - time.monotonic()))

    def _run(self, queue: Queue[Work]) -> None:
        raise NotImplementedError


class Pipeline(Carrier[Begun]):
    """
    Makes one round trip to a shard for all that callers have asked for in the meantime.

    While it has nothing to do, the next caller does not wait for its thread to wake up, and sends.
    """

    def __init__(self, shard: Shard) -> None:
        super().__init__(f"pipeline to {shard.host}")
        self._shard = shard

    def start_process(self) -> None:
        """See ``Carrier``."""
        super().start_process()
        self._at_rest = False

    def carry_out(self, operation: Operation, future: AnyFuture) -> AnyFuture:
        """Returns ``future``, that of a loop in which this is called or a ``Result``, which gets the result."""
        with self._lock:
            if not (self._threads or self._start()):
                settle([(future, self._do((operation, None)))])
                return future
            at_rest, self._at_rest = self._at_rest, False  # before a call from within this one
            try:
                begun = begin(self._shard, operation) if at_rest else None
            except RedisError as error:
                future.set_exception(error)
                return future
            self._queue.put(((operation, begun), future))
        return future

    def _do(self, work: Begun) -> Any:
        (outcome,) = pipeline_execute(self._shard, [work[0]], work[1])
        return outcome

    def _run(self, queue: Queue[Begun]) -> None:
        left: list[Item[Begun] | None] = []  # what was taken from the queue, and is not for this round trip
        while True:
            item = left.pop() if left else self._next(queue)
            if item is None:
                return
            (operation, begun), future = item
            batch, size = [(operation, future)], len(operation.packed)
            while size < _MOST_BYTES and len(batch) < _MOST_OPERATIONS and not queue.empty():
                item = queue.get()
                if item is None or item[0][1] is not None:
                    left.append(item)
                    break
                batch.append((item[0][0], item[1]))
                size += len(item[0][0].packed)
            # Who has given up by now need not be served, unless that has begun.
            sent = 0 if begun is None else 1
            batch[sent:] = [one for one in batch[sent:] if not one[1].cancelled()]
            if batch:
                outcomes = pipeline_execute(self._shard, [operation for operation, _ in batch], begun)
                settle(zip([future for _, future in batch], outcomes))

    def _next(self, queue: Queue[Begun]) -> Item[Begun] | None:
        with self._lock:
            self._at_rest = queue.empty()
        return queue.get()


class Calls(Carrier[Callable[[], Any]]):
    """Makes blocking calls in some threads."""

    def _do(self, work: Callable[[], Any]) -> Any:
        return _outcome(work)

    def _run(self, queue: Queue[Callable[[], Any]]) -> None:
        while True:
            item = queue.get()
            if item is None:
                return
            call, future = item
            if not future.cancelled():
                # At once: the next call may take long.
                settle([(future, _outcome(call))])


def call_apart(call: Callable[[], Any], loop: asyncio.AbstractEventLoop) -> asyncio.Future[Any]:
    """Makes one blocking call in a thread of its own; returns a future of ``loop`` for the result."""
    future = loop.create_future()
    start_or_run(lambda: settle([(future, _outcome(call))]), "call apart")
    return future


def _outcome(call: Callable[[], Any]) -> Any:
    try:
        return call()
    except BaseException as error:  # noqa: BLE001  it is the caller's
        return as_exception(error)


def settle(outcomes: Iterable[tuple[Future, Any]]) -> None:
    """Sets each future to its result, or ``Exception``, with one call for each loop."""
    by_loop: dict[Loop, list[tuple[Future, Any]]] = {}
    for future, outcome in outcomes:
        by_loop.setdefault(future.get_loop(), []).append((future, outcome))
    for loop, settled in by_loop.items():
        call_in(loop, _settle, settled)


def call_in(loop: Loop, function: Callable[..., object], *arguments: object) -> bool:
    """Has ``function`` called in ``loop``; returns whether that is still there, if perhaps not for long."""
    try:
        loop.call_soon_threadsafe(function, *arguments)
    except Exception:  # noqa: BLE001  closed, whatever a loop says then: the others are to be called all the same
        return False
    return True


def _settle(settled: Iterable[tuple[Future, Any]]) -> None:
    for future, outcome in settled:
        if future.done():
            continue  # cancelled
        if isinstance(outcome, Exception):
            future.set_exception(outcome)
        else:
            future.set_result(outcome)


async def run_plan(plan: Plan[T], pipelines: dict[Shard, Pipeline]) -> T:
    """Carries out a call, and returns what it returns. See ``asgi_redis.connection.run_plan``, which blocks."""
    loop = asyncio.get_running_loop()
    results: list[Any] | None = None
    while True:
        try:
            requests = next(plan) if results is None else plan.send(results)
        except StopIteration as ended:
            result: T = ended.value
            return result
        if len(requests) == 1:
            shard, operation = requests[0]
            results = [await pipelines[shard].carry_out(operation, loop.create_future())]
        else:
            results = await _all(
                [pipelines[shard].carry_out(operation, loop.create_future()) for shard, operation in requests]
            )


async def _all(futures: list[asyncio.Future[Any]]) -> list[Any]:
    """Returns the results when all are there; then raises the first error, if there is one."""
    if futures:
        try:
            await asyncio.wait(futures)
        except BaseException:
            for future in futures:
                future.cancel()
            raise
    errors = [error for error in [future.exception() for future in futures] if error is not None]
    if errors:
        raise errors[0]
    return [future.result() for future in futures]
