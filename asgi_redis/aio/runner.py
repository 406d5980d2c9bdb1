"""
Threads that carry out the calls of coroutines, and bring back the results.

No thread belongs to a loop: loops may come and go.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Sequence
from queue import SimpleQueue
from typing import Any, Generic, Protocol, TypeVar

from redis.exceptions import RedisError

from asgi_redis.aio.loop_waker import Future, settle
from asgi_redis.connection import Plan, Shard, as_exception
from asgi_redis.process import fork
from asgi_redis.process.time_limits import start_or_run
from asgi_redis.wire import Operation

T = TypeVar("T")
Work = TypeVar("Work")
AnyFuture = TypeVar("AnyFuture", bound="Awaited")
Call = tuple[Callable[[], Any], Future]


class Awaited(Protocol):
    """A result that is awaited."""

    def cancelled(self) -> bool:
        """Return whether its request is not to be sent, if it was not sent yet."""

    def get_loop(self) -> object:
        """Return the event loop of the caller, or another object where there is none."""


class RequestQueue(Protocol):
    """Takes requests to one shard, which are carried out in this order."""

    def submit(self, operation: Operation, future: AnyFuture) -> AnyFuture:
        """Return ``future``, which gets the result of ``operation``."""


class RequestQueues(Protocol):
    """The queue of each shard."""

    def __getitem__(self, shard: Shard, /) -> RequestQueue:
        """Return the queue of a shard."""


class Closable(Protocol):
    """Threads of a layer, which start again when there is work for them."""

    def end(self) -> None:
        """Let the threads end, soon. For finalisers, which must not take a lock."""

    def close(self, timeout: float) -> None:
        """End the threads within ``timeout`` seconds."""


class IOThreads(Generic[Work]):
    """Some daemon threads, started when there is work, and the queue of that work."""

    may_start = True
    """Whether threads may be started; not at the end of the interpreter."""

    def __init__(self, name: str, threads: int = 1) -> None:
        self._name = name
        self._number = threads
        self.start_process()
        fork.register(self)

    def start_process(self) -> None:
        """Start without threads and work: both are the parent's."""
        self._queue: SimpleQueue[Work | None] = SimpleQueue()
        self._threads: list[threading.Thread] = []
        # Reentrant: the garbage collector may end a coroutine anywhere, which then calls from its ``finally``.
        self._own_lock = threading.RLock()

    @property
    def _lock(self) -> threading.RLock:
        """Guards the threads: work that is queued after their end would wait for ever."""
        fork.check()
        return self._own_lock

    def _can_run(self) -> bool:
        """Start threads unless they run; return whether there are any. With the lock held."""
        if not self._threads and self.may_start:
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
        """Let the threads end after their work. For finalisers, which take no lock."""
        for _ in self._threads:
            self._queue.put(None)

    def stop(self) -> list[threading.Thread]:
        """Let the threads end after their work; return them. The next work starts others."""
        with self._lock:
            threads, self._threads = self._threads, []
            queue, self._queue = self._queue, SimpleQueue()
        for _ in threads:
            queue.put(None)
        return threads

    def close(self, timeout: float) -> None:
        """End the threads within ``timeout`` seconds. The next work starts others."""
        deadline = time.monotonic() + timeout
        for thread in self.stop():
            thread.join(max(0.0, deadline - time.monotonic()))

    def _run(self, queue: SimpleQueue[Work | None]) -> None:
        raise NotImplementedError


class BlockingCalls(IOThreads[Call]):
    """Makes blocking calls in some threads."""

    def submit(self, call: Callable[[], T], loop: asyncio.AbstractEventLoop) -> asyncio.Future[T]:
        """Return a future of ``loop``, in which this is called, for the result."""
        future: asyncio.Future[T] = loop.create_future()
        with self._lock:
            if self._can_run():
                self._queue.put((call, future))
                return future
        settle([(future, _outcome(call))])
        return future

    def _run(self, queue: SimpleQueue[Call | None]) -> None:
        while (item := queue.get()) is not None:
            call, future = item
            if not future.cancelled():
                settle([(future, _outcome(call))])  # at once: the next call may take long


def call_in_thread(call: Callable[[], T], loop: asyncio.AbstractEventLoop) -> asyncio.Future[T]:
    """Make one blocking call in a new thread; return a future of ``loop``."""
    future: asyncio.Future[T] = loop.create_future()
    start_or_run(lambda: settle([(future, _outcome(call))]), "call apart")
    return future


def _outcome(call: Callable[[], Any]) -> Any:
    try:
        return call()
    except BaseException as error:  # noqa: BLE001  it is the caller's
        return as_exception(error)


async def run_plan(plan: Plan[T], queues: RequestQueues) -> T:
    """Carry out a plan by the queues of the shards, and return its result."""
    loop = asyncio.get_running_loop()
    results: list[Any] | None = None
    while True:
        try:
            requests = next(plan) if results is None else plan.send(results)
        except StopIteration as ended:
            result: T = ended.value
            return result
        try:
            if len(requests) == 1:
                shard, operation = requests[0]
                results = [await queues[shard].submit(operation, loop.create_future())]
            else:
                futures = [queues[shard].submit(operation, loop.create_future()) for shard, operation in requests]
                results = await results_of(futures)
        except RedisError as error:
            plan.throw(error)
            raise


async def results_of(futures: Sequence[asyncio.Future[Any]]) -> list[Any]:
    """Return the results when all futures are done, or raise the first error."""
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
