"""
The running event loops of greenlets.

asyncio keeps one for each native thread, and all greenlets share a native thread: while a coroutine waits for gevent,
every other greenlet would see its loop. Django then refuses its database to them, and asyncio another loop. So the
running loop is changed with each switch from one greenlet to another.
"""

from __future__ import annotations

import asyncio
import sys
from typing import Any

_LOOP = "asyncio_running_loop"  # in the __dict__ of a greenlet that is not running
_installed = False
_next: Any = None  # the tracing function that was there before


def keep_running_loops_apart() -> None:
    """Gives each greenlet of this native thread a running loop of its own, where gevent has patched threads."""
    patching = sys.modules.get("gevent.monkey")
    if patching is None or not patching.is_module_patched("threading"):
        return
    import greenlet  # here, because few workers have it

    global _installed, _next
    if not _installed:
        _installed = True
        _next = greenlet.settrace(_trace)


def _trace(event: str, switch: tuple[Any, Any]) -> None:
    # Called in the target, with each switch: it takes 0.2 µs, and raises nothing, for greenlet would call it no more.
    if event in {"switch", "throw"}:
        origin, target = switch
        running = asyncio._get_running_loop()
        if running is not None:
            origin.__dict__[_LOOP] = running
        loop = target.__dict__.pop(_LOOP, None)
        if loop is not running:
            asyncio._set_running_loop(loop)
    if _next is not None:
        _next(event, switch)
