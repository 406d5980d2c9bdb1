"""
Guards the log against handlers and filters of the project that raise.

Those of the standard library do not raise, but a handler that writes to a database may. That must cost neither the
message nor the thread that writes the line. So the loggers of both packages write such an error to stderr, as
handlers ought to do.
"""

from __future__ import annotations

import functools
import logging
from typing import Any, Callable

PACKAGES = ("workers", "asgi_redis")
# Imported with the first consumer that needs them, after a worker has called ``guard``.
LATE = ("workers.loops.coroutines", "workers.loops.shared_loop")

OnError = Callable[[Exception], None]

_guards: list[OnError] = []


def guard(on_error: OnError) -> None:
    """Guard the loggers until ``release``; ``on_error`` is called with each exception."""
    if on_error not in _guards:
        _guards.append(on_error)
    for logger in _loggers():
        if not _is_guarded(logger):
            logger.handle = functools.partial(_handle, logger.handle)


def release(on_error: OnError) -> None:
    """End a ``guard``; with the last one, the loggers are restored."""
    if on_error in _guards:
        _guards.remove(on_error)
    if not _guards:
        for logger in _loggers():
            if _is_guarded(logger):
                del logger.handle


def _loggers() -> list[Any]:
    names = {*logging.Logger.manager.loggerDict, *LATE}
    return [logging.getLogger(name) for name in names if name.partition(".")[0] in PACKAGES]


def _is_guarded(logger: Any) -> bool:
    return isinstance(logger.handle, functools.partial)


def _handle(handle: Callable[[logging.LogRecord], None], record: logging.LogRecord) -> None:
    try:
        handle(record)
    except Exception as error:  # noqa: BLE001  it is written to stderr
        logging.Handler().handleError(record)
        for on_error in list(_guards):
            on_error(error)
