"""
The ``channel`` consumers of an ASGI application, as Channels 4 has them: ``runworker thumbnails emails``.

The application is called once for an instance, with the scope ``{"type": "channel", "channel": name}``, and receives
messages until it ends; a ``receive`` says that it is done with the one before. An instance works on one message at a
time, and stays for the next. So there are as many of a channel as messages of it were in progress at once: with one
slot a single one, as in Channels 4. What raises ends the instance, and costs the message that it worked on.

All instances live in one event loop, as those of Channels 4 do. What they call by ``sync_to_async``, the handlers of
a ``SyncConsumer`` among it, runs in the slot that holds their message, one beside the other, instead of all in turn
in one thread. Between two messages, when a consumer works on what comes on its own channel, it is that one thread.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Awaitable, Iterable, Mapping
from concurrent.futures import Executor, Future
from queue import SimpleQueue
from typing import Any, Callable

from asgiref.compatibility import guarantee_single_callable
from asgiref.sync import SyncToAsync, ThreadSensitiveContext

from workers.exceptions import ConfigurationError
from workers.loops.shared_loop import SharedLoop
from workers.message import Message
from workers.routing import Router, route

logger = logging.getLogger(__name__)

CLOSE_SECONDS = 2.0

Application = Callable[..., Awaitable[None]]


class ChannelEvents:
    """
    The consumers of ``application`` on ``channels``, as a routing: ``router``.

    Raises ``ConfigurationError`` for a channel that the application's ``ChannelNameRouter`` does not know.
    """

    def __init__(self, application: Any, channels: Iterable[str]) -> None:
        names = sorted(set(channels))
        known = _consumers(application)
        unknown = [name for name in names if known is not None and name not in known]
        if known is not None and unknown:
            raise ConfigurationError(
                f"no consumer for channel {unknown[0]!r} in the application's ChannelNameRouter; it has "
                f"{', '.join(sorted(known)) or 'none'}"
            )
        self._loop = SharedLoop()
        self.router = Router(
            [route(name, _Consumer(application, name, self._loop, (known or {}).get(name))) for name in names]
        )

    def close(self) -> None:
        """Ends all instances, which are cancelled."""
        self._loop.close(CLOSE_SECONDS)


class _Consumer:
    """What a worker calls for the messages of one channel: it finds an instance, or makes one."""

    def __init__(self, application: Any, channel: str, loop: SharedLoop, named: Any) -> None:
        self._application: Application = guarantee_single_callable(application)  # type: ignore[no-untyped-call]  # asgiref's
        self._channel = channel
        self._loop = loop
        self._idle: list[_Instance] = []
        self._lock = threading.Lock()
        # What the log and the metrics call it.
        consumer = getattr(named, "consumer_class", named)
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
        job = _Job(content)
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
                del job  # which the traceback would hold, and it the traceback
        return job.received


class _Job:
    """A message in its slot. ``run`` runs what is put until ``end``."""

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
    A running application; for asgiref, also what runs the synchronous code in it.

    All but ``submit`` is called in the loop.
    """

    def __init__(self, application: Application, channel: str) -> None:
        self.over = False
        self._application = application
        self._channel = channel
        self._fresh = True
        self._job: _Job | None = None
        self._lock = threading.Lock()

    def start(self, job: _Job) -> None:
        """Calls the application, with its first message."""
        self._inbox: asyncio.Queue[_Job] = asyncio.Queue()
        self.give(job)
        # The loop has weak references to its tasks only.
        self._task = asyncio.get_running_loop().create_task(self._run())

    def give(self, job: _Job) -> None:
        """Gives it another message."""
        if self.over:
            job.end(None)
            return
        with self._lock:
            self._job = job
        self._inbox.put_nowait(job)

    def submit(self, function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        """Runs ``function`` in the slot that holds the message, or without one where asgiref would."""
        with self._lock:
            if self._job is not None:
                future: Future[Any] = Future()
                self._job.put(lambda: _run(future, function, args, kwargs))
                return future
        return SyncToAsync.single_thread_executor.submit(function, *args, **kwargs)

    async def _run(self) -> None:
        sensitive = ThreadSensitiveContext()
        SyncToAsync.context_to_thread_executor[sensitive] = self
        SyncToAsync.thread_sensitive_context.set(sensitive)
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
        if error is not None and not (job and job.received) and not isinstance(error, asyncio.CancelledError):
            logger.error("The consumer of channel %r has ended between two messages", self._channel, exc_info=error)
        self._done(error if job is not None and job.received else None)
        del self._task

    # Not ``async def``: it is the call that says that the message before is done with. Whoever has called may cancel
    # what it returns before that has run.
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
    except StopIteration as error:  # which asyncio cannot raise in who awaits it
        wrapped = RuntimeError("a consumer raised StopIteration")
        wrapped.__cause__ = error
        future.set_exception(wrapped)
    except BaseException as error:  # noqa: BLE001  raised again in who awaits it
        future.set_exception(error)
    else:
        future.set_result(result)


def _consumers(application: Any) -> Mapping[str, Any] | None:
    """Returns the consumers of Channels' routers by channel; None for an application that is not made of these."""
    protocols = getattr(application, "application_mapping", None)
    if not isinstance(protocols, Mapping):
        return None
    if "channel" not in protocols:
        raise ConfigurationError(
            'the ProtocolTypeRouter of ASGI_APPLICATION has no "channel": add '
            '"channel": ChannelNameRouter({"name": TheConsumer.as_asgi()})'
        )
    channels = getattr(protocols["channel"], "application_mapping", None)
    return channels if isinstance(channels, Mapping) else None
