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
LATE = ("workers.coroutines", "workers.shared_loop")  # of modules that few workers import, and then with a consumer

_on_error: Callable[[Exception], None] | None = None


def guard(on_error: Callable[[Exception], None]) -> None:
    """Does so from now on, for the loggers that a worker has; ``on_error`` is called with what was raised."""
    global _on_error
    _on_error = on_error
    for name in {*logging.Logger.manager.loggerDict, *LATE}:
        logger: Any = logging.getLogger(name)
        if name.partition(".")[0] in PACKAGES and not isinstance(logger.handle, functools.partial):
            logger.handle = functools.partial(_handle, logger.handle)


def _handle(handle: Callable[[logging.LogRecord], None], record: logging.LogRecord) -> None:
    try:
        handle(record)
    except Exception as error:  # noqa: BLE001  it is written to stderr
        logging.Handler().handleError(record)
        if _on_error is not None:
            _on_error(error)
