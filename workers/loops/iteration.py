"""Goes through asynchronous iterators for code that is not asynchronous."""

from __future__ import annotations

import asyncio
import contextvars
import logging
import threading
from collections.abc import AsyncIterable, Iterator
from queue import Empty, SimpleQueue
from typing import Any, Generic, TypeVar

from workers.loops.coroutines import shared_loop, surrounded

T = TypeVar("T")

logger = logging.getLogger(__name__)

END_SECONDS = 10.0


def iterate(iterable: AsyncIterable[T], silence: float) -> Iterator[T | None]:
    """
    Yield the items of an asynchronous iterable; None after ``silence`` seconds.

    One task in the shared loop goes through it, one item ahead. It is cancelled when the iterator that is returned is
    closed, and left behind if it has not ended ten seconds later.
    """
    iteration = _Iteration(iterable)
    loop = shared_loop()
    loop.call(iteration.start)
    try:
        while True:
            try:
                found = iteration.found.get(timeout=silence)
            except Empty:
                yield None
                continue
            if found is None:
                break
            loop.call(iteration.go_on)
            yield found[0]
    finally:
        loop.call(iteration.cancel)
        if not iteration.ended.wait(END_SECONDS):
            logger.error("%r has not ended %g s after it was cancelled, and is left behind", iterable, END_SECONDS)
    if iteration.error is not None:
        raise iteration.error


class _Iteration(Generic[T]):
    def __init__(self, iterable: AsyncIterable[T]) -> None:
        self.found: SimpleQueue[tuple[T] | None] = SimpleQueue()
        """An item, in a tuple; None at the end."""
        self.ended = threading.Event()
        self.error: BaseException | None = None
        self._iterator: Any = iterable.__aiter__()
        self._context = contextvars.copy_context()

    def start(self) -> None:
        self._wanted = asyncio.Event()
        self._task = self._context.run(asyncio.ensure_future, surrounded(self._run()))
        self._task.add_done_callback(self._end)  # it may be cancelled before it begins

    def go_on(self) -> None:
        self._wanted.set()

    def cancel(self) -> None:
        self._task.cancel()

    async def _run(self) -> None:
        try:
            async for item in self._iterator:
                self.found.put((item,))
                await self._wanted.wait()
                self._wanted.clear()
        except BaseException as error:  # noqa: BLE001  raised again where the items are wanted
            self.error = error
        finally:
            if hasattr(self._iterator, "aclose"):
                await self._iterator.aclose()

    def _end(self, task: asyncio.Future[Any]) -> None:
        if not task.cancelled() and self.error is None:
            self.error = task.exception()
        self.found.put(None)
        self.ended.set()
