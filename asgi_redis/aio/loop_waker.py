"""
Wakes coroutines from other threads, all of one event loop with one call.

A loop may be closed at any time, and a coroutine may give up: its future is cancelled then, and stays so.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
from collections.abc import Callable, Iterable
from typing import Any, TypeVar, Union

from asgi_redis.process.patches import is_patched

T = TypeVar("T")


class BlockingResult(concurrent.futures.Future[T]):
    """A future of a thread, which blocks in ``result``. It is settled without a loop."""

    def get_loop(self) -> BlockingResult[T]:
        """Return what stands for the loop."""
        return self

    def call_soon_threadsafe(self, function: Callable[..., object], *arguments: object) -> None:
        """Call ``function`` now."""
        function(*arguments)


NOT_SENT = object()
"""The outcome of a request that was cancelled before it was sent."""

Future = Union["asyncio.Future[Any]", BlockingResult[Any]]
Loop = Union[asyncio.AbstractEventLoop, BlockingResult[Any]]
Outcome = tuple[Future, Any]
"""A future, and its result or ``Exception``."""


def running_loop() -> asyncio.AbstractEventLoop | None:
    """
    Return the event loop that runs in this thread, if one does.

    Returns ``None`` under gevent's patches: all greenlets of a native thread may see the loop of one of them.
    """
    if is_patched("threading"):
        return None
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None


def settle(outcomes: Iterable[Outcome]) -> list[Future]:
    """
    Give each future its result or error; return the futures whose loop is closed.

    Those of the loop that runs here get it at once.
    """
    here = running_loop()
    by_loop: dict[Loop, list[Outcome]] = {}
    for outcome in outcomes:
        by_loop.setdefault(outcome[0].get_loop(), []).append(outcome)
    unreached: list[Future] = []
    for loop, settled in by_loop.items():
        if loop is here:
            _settle(settled)
            continue
        try:
            loop.call_soon_threadsafe(_settle, settled)
        except Exception:  # noqa: BLE001  closed, whatever a loop says then: the other loops are to be called
            unreached += [future for future, _ in settled]
    return unreached


def _settle(settled: list[Outcome]) -> None:
    for future, outcome in settled:
        if future.done():
            continue  # cancelled
        if isinstance(outcome, Exception):
            future.set_exception(outcome)
        else:
            future.set_result(outcome)
