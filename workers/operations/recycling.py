"""
``--max-messages`` and ``--max-memory``: end a worker after a while.

Its process supervisor starts a new one. Each limit is moved by up to a tenth, up or down, so that the workers of a
site do not all end together.
"""

from __future__ import annotations

import itertools
import logging
import random
import resource
import sys
from pathlib import Path

from workers.exceptions import ConfigurationError
from workers.runtime.hooks import HookedWorker, LifecycleHook

logger = logging.getLogger(__name__)

JITTER = 0.1
MIB = 1 << 20


class MessageLimit(LifecycleHook):
    """
    Ends the worker after about ``number`` messages.

    With one slot that is exact but for the jitter. Messages that are in other slots by then are run as well.
    """

    def __init__(self, number: int) -> None:
        self._limit = max(1, round(_moved(number)))

    def start(self, worker: HookedWorker) -> None:
        # An iterator, because "+= 1" in several threads at once loses counts.
        numbers = itertools.count(1)

        def count(channel: str, consumer: str, seconds: float, failed: bool) -> None:
            if next(numbers) == self._limit:
                logger.info("Stopping: %d messages done, as --max-messages has it", self._limit)
                worker.quiet()

        worker.dispatcher.observers.append(count)


class MemoryLimit(LifecycleHook):
    """
    Ends the worker when its process takes more than about ``size`` bytes of memory.

    Raises ``ConfigurationError`` when it already does.
    """

    def __init__(self, size: int) -> None:
        self._limit = _moved(size)
        taken = resident_memory()
        if taken >= size * (1 - JITTER):
            raise ConfigurationError(
                f"--max-memory is too little: the process takes {taken // MIB} MiB before it has begun"
            )

    def check(self, worker: HookedWorker) -> str | None:
        """Return a reason to stop when the process takes too much."""
        taken = resident_memory()
        if taken < self._limit:
            return None
        return f"the process takes {taken // MIB} MiB, and --max-memory allows {round(self._limit / MIB)} MiB"


def resident_memory() -> int:
    """
    Return the bytes of memory that this process takes (RSS).

    Without ``/proc`` that is the most that it has ever taken, the only number that ``getrusage`` has.
    """
    try:
        pages = int(Path("/proc/self/statm").read_bytes().split()[1])
    except FileNotFoundError:
        # In KiB, except on macOS.
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    return pages * resource.getpagesize()


def _moved(limit: int) -> float:
    return limit * random.uniform(1 - JITTER, 1 + JITTER)
