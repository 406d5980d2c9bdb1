"""
The running event loops of greenlets.

The only file that uses private parts of asyncio.

asyncio keeps one running loop for each native thread, and all greenlets share a native thread: while a coroutine
waits for gevent, every other greenlet would see its loop. Then Django refuses its database to them, and asyncio
refuses another loop. So the running loop changes with each switch from one greenlet to another, in a thread where a
loop has ever run. So does the current task, which Python 3.14 keeps for each native thread, too: there no task could
be entered while a task of another greenlet's loop waits for gevent.
"""

from __future__ import annotations

import asyncio
import functools
import sys
from typing import Any

_RUNNING = "asyncio_running"  # in the __dict__ of a greenlet that is not running: its loop, and the loop's task
_NOTHING = (None, None)
_run_forever = asyncio.BaseEventLoop.run_forever
_thread: Any = None  # of each native thread: ``next`` is the tracing function that was there before

if sys.version_info >= (3, 14):
    _swap_task = asyncio.tasks._swap_current_task  # type: ignore[attr-defined]  # typeshed lacks it
else:

    def _swap_task(loop: Any, task: Any) -> Any:
        """Do nothing: asyncio keeps a current task for each loop."""


def keep_running_loops_apart() -> None:
    """Give each greenlet its own running loop, where gevent has patched threads."""
    monkey = sys.modules.get("gevent.monkey")
    if monkey is None or not monkey.is_module_patched("threading"):
        return
    global _thread
    if _thread is None:
        _thread = monkey.get_original("threading", "local")()
        # Not traced at once: it costs every switch, and few workers have a loop.
        asyncio.BaseEventLoop.run_forever = _run_traced  # type: ignore[method-assign]  # it is patching


@functools.wraps(_run_forever)
def _run_traced(self: asyncio.BaseEventLoop) -> None:
    from greenlet import settrace  # here, because few workers have it

    if "next" not in vars(_thread):
        _thread.next = None
        _thread.next = settrace(_trace)
    _run_forever(self)


def _trace(event: str, switch: tuple[Any, Any]) -> None:
    # Called in the target, with each switch. It takes 0.3 µs. It raises nothing: greenlet would not call it again.
    if event in {"switch", "throw"}:
        origin, target = switch
        running = asyncio._get_running_loop()
        if running is not None:
            origin.__dict__[_RUNNING] = (running, _swap_task(running, None))
        loop, task = target.__dict__.pop(_RUNNING, _NOTHING)
        if loop is not running:
            asyncio._set_running_loop(loop)
        if task is not None:
            _swap_task(loop, task)
    if _thread.next is not None:
        _thread.next(event, switch)
