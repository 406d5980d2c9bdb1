"""
Slots that are greenlets, in a process that ``gevent.monkey.patch_all`` has patched.

All greenlets take turns in one thread, and switch only where they wait: what is done between two waits needs
no lock.
"""

from __future__ import annotations

import logging
import time

import gevent
from gevent.event import Event

from workers.pool import Job, Pool

logger = logging.getLogger(__name__)


class GeventPool(Pool):
    """A greenlet for each job, ``size`` at a time."""

    def __init__(self, size: int) -> None:
        super().__init__(size)
        self._free = size
        self._quieted = False
        self._changed = Event()

    def start(self) -> None:
        """See ``Pool.start``."""

    def acquire(self, timeout: float) -> int:
        """See ``Pool.acquire``."""
        if not self._free and not self._quieted:
            self._changed.clear()
            self._changed.wait(timeout)
        if self._quieted:
            return 0
        slots, self._free = self._free, 0
        return slots

    def release(self, slots: int) -> None:
        """See ``Pool.release``."""
        self._free += slots
        self._changed.set()

    def submit(self, job: Job) -> None:
        """See ``Pool.submit``."""
        gevent.spawn(self._run, job)

    def quiet(self) -> None:
        """See ``Pool.quiet``."""
        self._quieted = True
        self._changed.set()

    def stop(self, deadline: float) -> bool:
        """See ``Pool.stop``."""
        while self._free < self.size:
            left = deadline - time.monotonic()
            if left <= 0:
                return False
            self._changed.clear()
            self._changed.wait(left)
        return True

    def kill(self) -> None:
        """See ``Pool.kill``."""

    def _run(self, job: Job) -> None:
        try:
            job()
        except BaseException:
            logger.exception("Error in a greenlet of the pool")
        finally:
            del job
            self.release(1)
