"""
The context (``contextvars``) of a message.

Each message starts with the same context. The changes that a consumer makes end with its message: Django's active
language and time zone, structlog's variables, Sentry's scopes. A copy of the thread's context would not do: Sentry
gives each thread a scope as it starts, which all copies would share. So each message gets a copy of a context that is
empty, except for the variables that ``begin_with`` sets.
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
    Call ``function`` once in each thread that runs messages from now on.

    The variables that it sets are in the context of each message of that thread. They are for objects that are costly
    to make, and belong to no message.
    """
    if function not in _beginnings:
        _beginnings.append(function)


def run_apart(function: Callable[..., T], *arguments: Any) -> T:
    """Call ``function`` in the context of a new message, and return its result."""
    try:
        beginning: contextvars.Context = _local.beginning
    except AttributeError:
        beginning = _local.beginning = contextvars.Context()
        for each in _beginnings:
            beginning.run(each)
    return beginning.copy().run(function, *arguments)
