"""Failures outside of consumers: a limiter of crashes, and a worker's failure."""

from __future__ import annotations

import logging
import time
from collections import deque
from typing import Any, Callable, TypeVar

from asgi_redis.exceptions import ChannelLayerError, ConfigurationError
from workers.runtime.stopping import ExitCode

logger = logging.getLogger(__name__)

T = TypeVar("T")

MAX_CRASHES = 5
WITHIN_SECONDS = 60.0


class CrashLimiter:
    """Counts crashes, and trips at five within a minute."""

    def __init__(self) -> None:
        self._times: deque[float] = deque(maxlen=MAX_CRASHES)

    def add(self) -> bool:
        """Count a crash; return whether the limit has been reached."""
        now = time.monotonic()
        self._times.append(now)
        return len(self._times) == MAX_CRASHES and now - self._times[0] < WITHIN_SECONDS


class Failure:
    """Whether a worker has failed; ``wake`` is called when it does."""

    code = ExitCode.FAILED
    """The exit code of a worker that has failed."""

    def __init__(self, wake: Callable[[], None]) -> None:
        self.failed = False
        self._wake = wake

    def attempt(self, step: Callable[..., T], *arguments: Any) -> T | None:
        """Return the result of ``step``, or None: an exception makes the worker fail."""
        try:
            return step(*arguments)
        except BaseException as error:  # noqa: BLE001  it is logged
            self.note(getattr(step, "__qualname__", repr(step)), error)
            return None

    def note(self, what: str, error: BaseException | None = None) -> None:
        """Make the worker fail by ``error`` in ``what``. May be called from any thread."""
        first, self.failed = not self.failed, True
        logger.critical("Error in %s%s", what, "; the worker ends" if first else "", exc_info=error)
        self._wake()

    def note_lasting(self, error: ChannelLayerError) -> None:
        """Make the worker fail by an error that each further call would raise, too."""
        if isinstance(error, ConfigurationError):  # found by a comparison with other processes
            self.code = ExitCode.CONFIGURATION
        self.failed = True
        logger.critical("The worker ends: %s", error)

    def note_log(self, error: Exception) -> None:
        """Make the worker fail by a log handler, which gets the line about it, too."""
        if not self.failed:
            self.note("a handler of the log", error)
