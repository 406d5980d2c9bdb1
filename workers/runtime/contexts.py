"""
The context (``contextvars``) that a message runs in: its own, which begins as that of every other message does.

What a consumer sets ends with its message: Django's active language and time zone, structlog's variables, Sentry's
scopes. A copy of the thread's context would not do. Sentry gives each thread a scope as it starts, which all copies
would share. So it is a copy of one that is empty, but for what ``begin_with`` puts there.
"""

from __future__ import annotations

import contextvars
import threading
from typing import Any, Callable, TypeVar

T = TypeVar("T")

_beginnings: list[Callable[[], None]] = []
_local = threading.local()


def begin_with(function: Callable[[], None]) -> None:
    """
    Has ``function`` called once in each thread that runs messages from now on. What it sets in its context, each
    message of that thread finds there: what is costly to make, and belongs to no message.
    """
    if function not in _beginnings:
        _beginnings.append(function)


def run_apart(function: Callable[..., T], *arguments: Any) -> T:
    """Calls ``function`` in a context of its own, and returns or raises what it does."""
    try:
        beginning: contextvars.Context = _local.beginning
    except AttributeError:
        beginning = _local.beginning = contextvars.Context()
        for each in _beginnings:
            beginning.run(each)
    return beginning.copy().run(function, *arguments)
