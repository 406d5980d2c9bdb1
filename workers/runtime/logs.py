"""
The log, when a handler or filter that the project has set up raises.

Those of the standard library do not, but one that writes to a database may. It must not cost the message that the
line is about, nor the thread that writes it. So the loggers of both packages do what handlers ought to: they write
the error to stderr.
"""

from __future__ import annotations

import functools
import logging
from typing import Any, Callable

PACKAGES = ("workers", "asgi_redis")
# Few workers import these modules, and then with a consumer.
LATE = ("workers.loops.coroutines", "workers.loops.shared_loop")

OnError = Callable[[Exception], None]

_guards: list[OnError] = []


def guard(on_error: OnError) -> None:
    """Does so until ``release``, for the loggers that a worker has; ``on_error`` is called with what was raised."""
    if on_error not in _guards:
        _guards.append(on_error)
    for logger in _loggers():
        if not _is_guarded(logger):
            logger.handle = functools.partial(_handle, logger.handle)


def release(on_error: OnError) -> None:
    """Ends what ``guard`` has begun; the loggers are as they were when no worker has asked for it any more."""
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
