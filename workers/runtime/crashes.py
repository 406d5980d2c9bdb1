"""Failures outside of consumers: counts lost threads, and ends the worker after too many or on a fatal error."""

from __future__ import annotations

import logging
import time
from collections import deque
from typing import Any, Callable, TypeVar

logger = logging.getLogger(__name__)

T = TypeVar("T")

MAX_CRASHES = 5
WITHIN_SECONDS = 60.0


class CrashLimiter:
    """Told of each pool thread or puller that died, it knows when that keeps happening: 5 times in a minute."""

    def __init__(self) -> None:
        self._times: deque[float] = deque(maxlen=MAX_CRASHES)

    def add(self, number: int = 1) -> None:
        """Takes note of losses."""
        self._times.extend([time.monotonic()] * number)

    @property
    def tripped(self) -> bool:
        """Whether the worker had better end."""
        return len(self._times) == MAX_CRASHES and time.monotonic() - self._times[0] < WITHIN_SECONDS


class Failure:
    """Whether the worker has failed; ``wake`` is called when it does."""

    def __init__(self, wake: Callable[[], None]) -> None:
        self.failed = False
        self._wake = wake

    def attempt(self, step: Callable[..., T], *arguments: Any) -> T | None:
        """Takes a step, and returns what it does, or None. What it raises, whatever it is, makes the worker fail."""
        try:
            return step(*arguments)
        except BaseException as error:  # noqa: BLE001  it is logged
            self.note(getattr(step, "__qualname__", repr(step)), error)
            return None

    def note(self, what: str, error: BaseException | None = None) -> None:
        """The worker has failed, by ``error`` in ``what``. From any thread."""
        first, self.failed = not self.failed, True
        logger.critical("Error in %s%s", what, "; the worker ends" if first else "", exc_info=error)
        self._wake()

    def note_log(self, error: Exception) -> None:
        """A handler of the log has raised. What is told of that goes the same way, so it is told once."""
        if not self.failed:
            self.note("a handler of the log", error)
