"""
Runs ``async def`` consumers to their end, in the thread of their slot.

Each thread that runs one has an event loop, which is made for the first and closed when the thread ends. Greenlets,
which are all in one thread, share one loop (``workers.loops.shared_loop``). Tasks that a consumer leaves behind are
cancelled and waited for: the messages that they send belong to the consumer, and go out with its own.
"""

from __future__ import annotations

import asyncio
import logging
import sys
import threading
from collections.abc import Awaitable, Coroutine
from typing import Any, Callable

from workers.loops.shared_loop import SharedLoop, end_tasks

logger = logging.getLogger(__name__)

Hook = Callable[[], Awaitable[object]]


class _Loop:
    """An event loop that is closed with the last reference: when its thread ends."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()

    def __del__(self) -> None:
        self.loop.close()


_local = threading.local()
_lock = threading.Lock()
_shared_loop: SharedLoop | None = None
_hook: Hook | None = None


def call_around(hook: Hook | None) -> None:
    """
    Await ``hook`` before and after each coroutine from now on; None ends that.

    An exception of the hook is logged.
    """
    global _hook
    _hook = hook


def run(coroutine: Coroutine[Any, Any, Any]) -> Any:
    """Run a coroutine, end the tasks that it has left, and return its result."""
    coroutine = surrounded(coroutine)
    patching = sys.modules.get("gevent.monkey")
    if patching is not None and patching.is_module_patched("threading"):
        return shared_loop().run(coroutine)
    try:
        loop: asyncio.AbstractEventLoop = _local.owner.loop
    except AttributeError:
        _local.owner = _Loop()
        loop = _local.owner.loop
    try:
        return loop.run_until_complete(coroutine)
    finally:
        left = asyncio.all_tasks(loop)
        if left:
            loop.run_until_complete(end_tasks(left))


def surrounded(coroutine: Coroutine[Any, Any, Any]) -> Coroutine[Any, Any, Any]:
    """Return a coroutine that awaits the hook before and after another."""
    return coroutine if _hook is None else _between(_hook, coroutine)


async def _between(hook: Hook, coroutine: Coroutine[Any, Any, Any]) -> Any:
    await _logged(hook)
    try:
        return await coroutine
    finally:
        await _logged(hook)


async def _logged(hook: Hook) -> None:
    try:
        await hook()
    except Exception:  # as with receivers of signals, an error in other code must not cost the message
        logger.exception("Error in %r, called around an async consumer", hook)


def shared_loop() -> SharedLoop:
    """Return the loop that greenlets share, and asynchronous iterators."""
    global _shared_loop
    with _lock:
        if _shared_loop is None:
            _shared_loop = SharedLoop()
        return _shared_loop
