"""The refusal of calls of a synchronous layer that are awaited by mistake."""

from __future__ import annotations

import dis
import inspect
import sys
from types import FrameType

from asgi_redis.exceptions import NotAwaitable

_IN_COROUTINE = inspect.CO_COROUTINE | inspect.CO_ITERABLE_COROUTINE | inspect.CO_ASYNC_GENERATOR
_AWAITS = {dis.opmap[name] for name in ("GET_AWAITABLE", "GET_YIELD_FROM_ITER")}
_CACHE = dis.opmap.get("CACHE")  # Python 3.11: room behind an instruction
_WIDTH = 2  # bytes of an instruction

PASSED_ON = "traced_call"
"""The name of functions that stand between a call and its caller."""


def refuse_await() -> None:
    """
    Raise ``NotAwaitable`` if the call of the calling function is awaited.

    A call in a coroutine that is not awaited is fine. ``await`` alone would raise ``TypeError``, but after the call:
    a caller that tries again would send a message twice.
    """
    try:
        frame = sys._getframe(2)
        if frame.f_code.co_name == PASSED_ON:
            frame = sys._getframe(3)
    except ValueError:
        return  # it is the first function of a thread or greenlet
    code = frame.f_code
    if (code.co_flags & _IN_COROUTINE and _is_awaited(frame)) or (
        code.co_name == "__call__" and _is_of_async_to_sync(frame)
    ):
        name = sys._getframe(1).f_code.co_name
        raise NotAwaitable(
            f"{name}() is synchronous and was awaited; it has done nothing. Call it without await and async_to_sync, "
            f"or use a layer of asgi_redis.aio"
        )


def _is_awaited(frame: FrameType) -> bool:
    """Return whether the next instruction of a frame awaits the result of this one."""
    code, position = frame.f_code.co_code, frame.f_lasti + _WIDTH
    while code[position] == _CACHE:
        position += _WIDTH
    return code[position] in _AWAITS


def _is_of_async_to_sync(frame: FrameType) -> bool:
    """Return whether asgiref has made the call, to await its result elsewhere."""
    return (
        frame.f_globals.get("__name__") == "asgiref.sync" and type(frame.f_locals["self"]).__name__ == "AsyncToSync"
    )
