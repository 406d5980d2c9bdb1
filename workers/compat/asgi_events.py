"""
Consumers of channels in an ASGI application: ``runworker thumbnails emails``.

As in Channels 4, the application is called once for an instance, with the scope ``{"type": "channel", "channel":
name}``, and receives messages until it ends. A ``receive`` means that the message before is done. An instance works
on one message at a time, and stays for the next one. So a channel has as many instances as messages of it were in
progress at once; with one slot it is a single one, as in Channels 4. An exception ends the instance, and costs the
message in progress.

All instances live in one event loop, as those of Channels 4 do. Their synchronous code, such as the handlers of a
``SyncConsumer``, is called by ``sync_to_async`` and runs in the slot that holds the message, so that several messages
run at once. Between two messages, when a consumer reacts to its own channel, that code runs in asgiref's one thread.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Awaitable, Iterable, Mapping
from concurrent.futures import Executor, Future
from queue import SimpleQueue
from types import MappingProxyType
from typing import Any, Callable

from asgiref.compatibility import guarantee_single_callable

from workers.compat.asgiref_executors import single_thread, use_executor
from workers.loops.shared_loop import SharedLoop
from workers.message import Message
from workers.routing import Router, route

logger = logging.getLogger(__name__)

CLOSE_SECONDS = 2.0

Application = Callable[..., Awaitable[None]]


class ChannelEvents:
    """
    The consumers of ``application`` on ``channels``, as a routing: ``router``.

    ``consumers`` has the class or function of each channel where these are known: the log and the metrics show its
    name.
    """

    def __init__(
        self, application: Any, channels: Iterable[str], consumers: Mapping[str, Any] = MappingProxyType({})
    ) -> None:
        self._loop = SharedLoop()
        self.router = Router(
            [route(name, _ChannelConsumer(application, name, self._loop, consumers.get(name))) for name in channels]
        )

    def close(self) -> None:
        """Cancel all instances."""
        self._loop.close(CLOSE_SECONDS)


class _ChannelConsumer:
    """The consumer of one channel: gives messages to idle instances, or new ones."""

    def __init__(self, application: Any, channel: str, loop: SharedLoop, consumer: Any) -> None:
        self._application: Application = guarantee_single_callable(application)  # type: ignore[no-untyped-call]  # asgiref's
        self._channel = channel
        self._loop = loop
        self._idle: list[_Instance] = []
        self._lock = threading.Lock()
        # The log and the metrics show these.
        self.__module__ = getattr(consumer, "__module__", type(self).__module__)
        self.__qualname__ = getattr(consumer, "__qualname__", type(consumer).__qualname__ if consumer else "channel")

    def __call__(self, message: Message) -> None:
        if not isinstance(message.get("type"), str):
            raise ValueError("a message for a consumer of Channels has a type, which names the method to call")
        while not self._run(message.content):
            pass  # the instance had ended before it received the message

    def _run(self, content: dict[str, Any]) -> bool:
        with self._lock:
            instance = self._idle.pop() if self._idle else None
        job = _SlotJob(content)
        if instance is None:
            instance = _Instance(self._application, self._channel)
            self._loop.call(instance.start, job)
        else:
            self._loop.call(instance.give, job)
        job.run()
        if not instance.over:
            with self._lock:
                self._idle.append(instance)
        if job.error is not None:
            try:
                raise job.error
            finally:
                del job  # a cycle: the traceback holds the job, and the job's error the traceback
        return job.received


class _SlotJob:
    """A message in its slot, which calls functions from other threads until ``end``."""

    def __init__(self, content: dict[str, Any]) -> None:
        self.content = content
        self.received = False
        self.error: BaseException | None = None
        self._work: SimpleQueue[Callable[[], None] | None] = SimpleQueue()

    def put(self, work: Callable[[], None]) -> None:
        self._work.put(work)

    def end(self, error: BaseException | None) -> None:
        self.error = error
        self._work.put(None)

    def run(self) -> None:
        for work in iter(self._work.get, None):
            work()


class _Instance(Executor):
    """
    A running application, and for asgiref the executor of its synchronous code.

    All methods but ``submit`` are called in the loop.
    """

    def __init__(self, application: Application, channel: str) -> None:
        self.over = False
        self._application = application
        self._channel = channel
        self._fresh = True
        self._job: _SlotJob | None = None
        self._lock = threading.Lock()

    def start(self, job: _SlotJob) -> None:
        """Call the application, with its first message."""
        self._inbox: asyncio.Queue[_SlotJob] = asyncio.Queue()
        self.give(job)
        # The loop has weak references to its tasks only.
        self._task = asyncio.get_running_loop().create_task(self._run())

    def give(self, job: _SlotJob) -> None:
        """Pass on another message."""
        if self.over:
            job.end(None)
            return
        with self._lock:
            self._job = job
        self._inbox.put_nowait(job)

    def submit(self, function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        """Run ``function`` in the slot of the message, or without one as asgiref does."""
        with self._lock:
            if self._job is not None:
                future: Future[Any] = Future()
                self._job.put(lambda: _run(future, function, args, kwargs))
                return future
        return single_thread().submit(function, *args, **kwargs)

    async def _run(self) -> None:
        use_executor(self)
        error: BaseException | None = None
        try:
            await self._application({"type": "channel", "channel": self._channel}, self._receive, self._send)
        except BaseException as raised:  # noqa: BLE001  raised again in the slot, or logged
            error = raised
        self.over = True
        job = self._job
        if job is not None and not job.received and self._fresh:
            job.received = True
            error = error or RuntimeError("the application has ended without receiving the message")
        if job is not None and job.received:
            self._done(error)
        else:
            if error is not None and not isinstance(error, asyncio.CancelledError):
                logger.error(
                    "The consumer of channel %r has ended between two messages", self._channel, exc_info=error
                )
            self._done(None)
        del self._task

    # Not ``async def``: the call itself ends the message before. The coroutine may be cancelled before it runs.
    def _receive(self) -> Awaitable[dict[str, Any]]:
        if self._job is not None and self._job.received:
            self._done(None)
        return self._next()

    async def _next(self) -> dict[str, Any]:
        job = await self._inbox.get()
        self._fresh = False
        job.received = True
        return job.content

    async def _send(self, message: Mapping[str, Any]) -> None:
        raise NotImplementedError(
            f"the consumer of channel {self._channel} has no client that it could send to: use self.channel_layer"
        )

    def _done(self, error: BaseException | None) -> None:
        with self._lock:
            job, self._job = self._job, None
        if job is not None:
            job.end(error)


def _run(future: Future[Any], function: Callable[..., Any], args: Any, kwargs: Any) -> None:
    if not future.set_running_or_notify_cancel():
        return
    try:
        result = function(*args, **kwargs)
    except StopIteration as error:  # asyncio cannot raise it in a coroutine
        wrapped = RuntimeError("a consumer raised StopIteration")
        wrapped.__cause__ = error
        future.set_exception(wrapped)
    except BaseException as error:  # noqa: BLE001  raised again in the coroutine
        future.set_exception(error)
    else:
        future.set_result(result)
