"""
An asyncio event loop in its own thread, for coroutines of other threads.

Where gevent has patched the standard library, that thread is a greenlet; ``greenlets`` sees to it that the other
greenlets do not see the loop.
"""

from __future__ import annotations

import asyncio
import contextvars
import functools
import logging
import threading
from collections.abc import Coroutine
from typing import Any, Callable
from weakref import WeakSet

from workers.loops.greenlets import keep_running_loops_apart

logger = logging.getLogger(__name__)

_tasks: contextvars.ContextVar[WeakSet[asyncio.Task[Any]] | None] = contextvars.ContextVar("tasks", default=None)


class _Outcome:
    """The result or the exception of a coroutine, even SystemExit."""

    def __init__(self) -> None:
        self.result: Any = None
        self.error: BaseException | None = None
        self.done = threading.Event()


class SharedLoop:
    """The loop, and the thread or greenlet that runs it."""

    def __init__(self) -> None:
        self._closing = False
        keep_running_loops_apart()
        self._loop = asyncio.SelectorEventLoop()
        self._loop.set_task_factory(_make_task)
        self._thread = threading.Thread(target=self._run, name="event-loop", daemon=True)
        self._thread.start()

    def run(self, coroutine: Coroutine[Any, Any, Any]) -> Any:
        """Run a coroutine, end the tasks that it has left, and return its result."""
        outcome = _Outcome()
        context = contextvars.copy_context()
        self._loop.call_soon_threadsafe(self._loop.create_task, _settle(coroutine, outcome), context=context)
        outcome.done.wait()
        if outcome.error is not None:
            raise outcome.error
        return outcome.result

    def call(self, function: Callable[..., Any], *arguments: Any) -> None:
        """Call a function in the loop soon, in an empty context; it may make tasks."""
        self._loop.call_soon_threadsafe(functools.partial(function, *arguments), context=contextvars.Context())

    def close(self, seconds: float) -> None:
        """Cancel all tasks and close the loop; wait up to ``seconds`` for that."""
        self._closing = True
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(seconds)

    def _run(self) -> None:
        while not self._closing:
            try:
                self._loop.run_forever()
            except BaseException:
                # SystemExit or KeyboardInterrupt in a task that a consumer has started: it ends that task only. Were
                # the loop to end, all coroutines in it would wait for ever.
                logger.exception("Error in a task that a consumer started, or in its event loop; it goes on")
        self._loop.run_until_complete(end_tasks(asyncio.all_tasks(self._loop)))
        self._loop.run_until_complete(self._loop.shutdown_asyncgens())
        self._loop.close()


async def _settle(coroutine: Coroutine[Any, Any, Any], outcome: _Outcome) -> None:
    tasks: WeakSet[asyncio.Task[Any]] = WeakSet()
    _tasks.set(tasks)
    try:
        outcome.result = await coroutine
    except BaseException as error:  # noqa: BLE001  raised again in the consumer's greenlet
        outcome.error = error
    try:
        await end_tasks({task for task in tasks if not task.done()})
    finally:
        outcome.done.set()


async def end_tasks(tasks: set[asyncio.Task[Any]]) -> None:
    """Cancel tasks that a consumer has left behind, and wait for them."""
    for task in tasks:
        task.cancel()
    for result in await asyncio.gather(*tasks, return_exceptions=True):
        if isinstance(result, Exception):
            logger.error("Error in a task that a consumer left behind", exc_info=result)


def _make_task(loop: asyncio.AbstractEventLoop, coroutine: Any, **options: Any) -> asyncio.Task[Any]:
    task: asyncio.Task[Any] = asyncio.Task(coroutine, loop=loop, **options)
    tasks = _tasks.get()
    if tasks is not None:
        tasks.add(task)
    return task
