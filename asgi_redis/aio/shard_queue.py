"""
The requests to one shard of a cluster, in the order of their submission.

They go to the node that has the shard at the time. A node that has the shard no longer, or not yet, refuses a
request; while it is made again, the later ones wait.
"""

from __future__ import annotations

import functools
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Reversible, Sequence
from typing import Any, Protocol

from redis.exceptions import RedisError

from asgi_redis.aio.loop_trips import MAX_BYTES, MAX_OPERATIONS
from asgi_redis.aio.loop_waker import BlockingResult, Future, settle
from asgi_redis.aio.pipeline import Pipeline
from asgi_redis.aio.runner import AnyFuture
from asgi_redis.connection import Server, Shard, as_exception, each_its_own
from asgi_redis.wire import Operation


class ShardRequest:
    """A request to the shard of ``queue``; no ``operation``: a mark in the queue."""

    __slots__ = ("error", "future", "operation", "queue")

    def __init__(self, queue: ShardQueue, operation: Operation | None, future: Any) -> None:
        self.queue = queue
        self.operation = operation
        self.future: Future = future
        self.error: RedisError | None = None
        """The refusal of the last attempt; None where it was not refused, or not sent."""

    def cancelled(self) -> bool:
        """Return whether not to send it: it was given up, or has to wait."""
        return self.queue.has_refusal or self.future.cancelled()

    def get_loop(self) -> object:
        """Return the event loop of the caller, if there is one."""
        return self.future.get_loop()


Answer = tuple[ShardRequest, Any]
"""A request, and its result or error."""


class Nodes(Protocol):
    """The pipelines to the nodes of a cluster."""

    @property
    def lock(self) -> threading.RLock:
        """Guards the queues. It is taken before the lock of a pipeline."""

    def pipeline_to(self, server: Server, queue: ShardQueue) -> Pipeline:
        """Return the pipeline for a queue whose shard is on ``server``."""

    def end_unused(self) -> None:
        """End the pipelines to nodes without a shard, which may have left."""

    def start_retry(self, call: Callable[[], object], name: str) -> None:
        """Make ``call`` in a thread. Raises ``RuntimeError`` where there is none."""

    def rested(self, queue: ShardQueue) -> None:
        """Take note that a queue is empty. With the lock held."""

    def deliver(self, answers: Iterable[Answer]) -> None:
        """Settle the futures of requests, unless they have to be made again."""


class ShardQueue:
    """
    A queue of one shard, guarded by the lock of ``nodes``.

    The first requests are in the pipeline of a node. When all of them are answered, the next ones go to the node that
    has the shard then. A thread makes refused requests again.
    """

    def __init__(self, shard: Shard, nodes: Nodes) -> None:
        self.shard = shard
        self._nodes = nodes
        self.start_process()

    def start_process(self) -> None:
        """Start empty: the requests are the parent's."""
        self.server: Server | None = None
        """The server of the latest requests."""
        self._requests: deque[ShardRequest] = deque()
        self._is_busy = False  # with requests that are not answered
        self._is_sending = False
        self._sent = 0
        self._refused: list[ShardRequest] = []
        self._retried_at = 0.0

    @property
    def has_refusal(self) -> bool:
        """Whether a request was refused, and is to be made again before the next ones."""
        return bool(self._refused)

    def submit(self, operation: Operation, future: AnyFuture) -> AnyFuture:
        """Return ``future``, which gets the result of ``operation``."""
        self._add(ShardRequest(self, operation, future))
        return future

    def mark(self) -> BlockingResult[None]:
        """Return a future that is settled when the requests of before have ended."""
        future: BlockingResult[None] = BlockingResult()
        self._add(ShardRequest(self, None, future))
        return future

    def _add(self, request: ShardRequest) -> None:
        with self._nodes.lock:
            self._requests.append(request)
            self._go_on()

    def _go_on(self) -> None:
        """Send the next requests, if there are any. With the lock held."""
        # The garbage collector may call this within itself, by ``submit``.
        while self._requests and not self._is_busy and not self._is_sending:
            self._is_sending = True
            try:
                if not self._is_busy:
                    self._send(self._take())
            finally:
                self._is_sending = False
        if not self._requests and not self._is_busy and not self._is_sending:
            self._nodes.rested(self)

    def _send(self, requests: list[ShardRequest]) -> None:
        if not requests:
            return
        self._is_busy = True
        server = self.shard.known_server
        if server is None:
            self._in_thread(self._locate, requests)
            return
        pipeline = self._nodes.pipeline_to(server, self)
        self._sent = len(requests)
        for request in requests:
            assert request.operation is not None
            try:
                pipeline.submit(request.operation, request)
            except BaseException as error:  # noqa: BLE001  it is the caller's
                self._nodes.deliver([(request, as_exception(error))])

    def _take(self) -> list[ShardRequest]:
        """Take as many requests as one round trip can have, up to a mark."""
        taken: list[ShardRequest] = []
        size = 0
        while self._requests and size < MAX_BYTES and len(taken) < MAX_OPERATIONS:
            request = self._requests[0]
            if request.operation is None:
                if taken:
                    break
                settle([(request.future, None)])
            elif not request.cancelled():
                taken.append(request)
                size += len(request.operation.packed)
            self._requests.popleft()
        return taken

    def answered(self, number: int, refused: Sequence[ShardRequest]) -> None:
        """Take note that so many requests were answered. With the lock held."""
        self._sent -= number
        self._refused += refused
        if self._sent:
            return
        if self._refused:
            refused, self._refused = self._refused, []
            self._in_thread(self._retry, refused)
        else:
            self._is_busy = False
            self._go_on()

    # In a thread

    def _in_thread(self, call: Callable[[list[ShardRequest]], None], requests: list[ShardRequest]) -> None:
        self._retried_at = time.monotonic()
        try:
            self._nodes.start_retry(functools.partial(call, requests), f"retry at {self.shard.name}")
        except RuntimeError as error:  # there are too many, or the interpreter ends
            _fail(requests, error)
            self._resume([])

    def _locate(self, requests: list[ShardRequest]) -> None:
        """Find the server of the shard, and send requests there."""
        try:
            bool(self.shard.server)  # asks for it
        except RedisError as error:
            for request in requests:
                request.error = error
            self._retry(requests)
        except BaseException as error:  # noqa: BLE001  it is the callers'
            _fail(requests, as_exception(error))
            self._resume([])
        else:
            self._resume(requests)

    def _retry(self, requests: list[ShardRequest]) -> None:
        """
        Make the first request again until it is served, or it is too late.

        The next ones follow it while they need no pause; the others go into a pipeline again. Where it was too late
        for the first, it is for all that were refused.
        """
        left = deque(requests)
        failure: Exception | None = None
        is_first = True
        is_late = time.monotonic() - self._retried_at > self.shard.patience  # for want of a thread
        while left:
            request = left[0]
            if is_first or self._needs_no_pause(request):
                outcome = self._again(request, fail_fast=is_late or failure is not None)
            elif failure is not None and request.error is not None:
                outcome = each_its_own(failure, 2)[1]
            else:
                break
            left.popleft()
            settle([(request.future, outcome)])
            if is_first and self._is_late(outcome):
                failure = outcome
            is_first = False
        self._resume(left)

    def _needs_no_pause(self, request: ShardRequest) -> bool:
        operation, error = request.operation, request.error
        return operation is not None and error is not None and self.shard.retries_at_once(operation, error)

    def _again(self, request: ShardRequest, fail_fast: bool) -> Any:
        """Return the result or the error of further attempts."""
        operation, error = request.operation, request.error
        try:
            if operation is not None and operation.again is not None:
                operation = operation.again()
            if operation is None or error is None or request.cancelled():
                return None
            return self.shard.retry(operation, error, fail_fast)
        except BaseException as failure:  # noqa: BLE001  it is the caller's
            return as_exception(failure)

    def _is_late(self, outcome: Any) -> bool:
        """Return whether requests that were made with this one will fail as it did."""
        if isinstance(outcome, RedisError):
            return self.shard.may_retry(outcome)
        return isinstance(outcome, Exception)

    def _resume(self, requests: Reversible[ShardRequest]) -> None:
        """Go on with ``requests``, and then with the requests of the meantime."""
        with self._nodes.lock:
            self._requests.extendleft(reversed(requests))
            self._is_busy = False
            self._nodes.end_unused()
            self._go_on()


def _fail(requests: Sequence[ShardRequest], error: Exception) -> None:
    settle(zip([request.future for request in requests], each_its_own(error, len(requests))))
