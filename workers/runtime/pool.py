"""
The slots that run consumers: threads, or greenlets under gevent's patches.

The slots fetch their messages themselves. A free slot takes the lead: it fetches as many messages as there are free
slots, leaves all but the first to others, passes on the lead, and runs the first itself. So a slot is free before a
message is received, and with a single slot no message changes threads.

A slot looks for work in the step in which it counts itself as free: it takes a job that waits, or else the lead. Only
a slot that finds neither sleeps, and has to be woken.
"""

from __future__ import annotations

import logging
import math
import threading
import time
from collections import deque
from enum import Enum
from queue import SimpleQueue
from typing import Callable, Optional

logger = logging.getLogger(__name__)

SLOT_NAME = "slot-"  # the beginning of the names of the threads

Job = Callable[[], None]
# Gets the number of free slots, and whether all are free. Waits for jobs and returns up to that many, maybe none;
# None when there will be no more.
Fetch = Callable[[int, bool], Optional[list[Job]]]


class _Duty(Enum):
    """The work of a slot that is no job: to fetch jobs, or to end."""

    LEAD = 1
    END = 2


class Pool:
    """
    A fixed number of slots: ``size``, 1 or more; raises ``ValueError`` below that.

    It counts as stuck when no slot has become free for ``stuck_timeout`` seconds.

    The threads are daemons: those of ``concurrent.futures`` hold up the end of the process.
    """

    def __init__(self, size: int, stuck_timeout: float = math.inf) -> None:
        if size < 1:
            raise ValueError(f"a pool has at least one slot, not {size}")
        self.size = size
        self.stuck_timeout = stuck_timeout
        self._fetched_at = 0.0
        self._fetch: Fetch | None = None
        self._on_end: Callable[[BaseException | None], None] | None = None
        self._threads: list[threading.Thread] = []
        self._lock = threading.Lock()
        self._busy = 0  # jobs fetched and not done
        self._jobs: deque[Job] = deque()  # those of them that no slot has claimed yet
        self._leading = False  # whether a slot fetches
        self._over = True  # whether nothing is to be fetched
        self._ended = False
        self._sleeping = 0  # slots that wait for a wake; after an error in one, maybe too many, never too few
        self._wakes: SimpleQueue[None] = SimpleQueue()
        self._settled = threading.Condition(self._lock)
        self._is_awaited = False  # whether ``_settled`` is, or was

    @property
    def saturated(self) -> bool:
        """Whether all slots are busy, so that nothing is fetched."""
        return self._busy == self.size

    @property
    def stuck(self) -> bool:
        """Whether no slot has become free for ``stuck_timeout`` seconds."""
        # The last fetch was for the last slot that became free.
        return self.saturated and time.monotonic() - self._fetched_at >= self.stuck_timeout

    def start(self, fetch: Fetch, on_end: Callable[[BaseException | None], None]) -> None:
        """
        Start the slots; they call ``fetch``, one at a time.

        ``on_end`` is called with None when ``fetch`` has returned None, or with the exception that it has raised.
        Then nothing is fetched any more, until ``resume``.
        """
        self._fetch, self._on_end = fetch, on_end
        for number in range(1, self.size + 1):
            thread = threading.Thread(target=self._run, name=f"{SLOT_NAME}{number}", daemon=True)
            thread.start()
            self._threads.append(thread)
        self.resume()

    def resume(self) -> None:
        """Go on fetching after ``fetch`` has raised."""
        with self._lock:
            self._over = False
            wakes = self._to_wake(1)
        self._wake(wakes)

    def settle(self, deadline: float) -> bool:
        """
        Wait until no slot is in ``fetch``; return whether that was so by ``deadline``.

        To be called when ``fetch`` would return None.
        """
        with self._settled:
            self._is_awaited = True
            return self._settled.wait_for(lambda: not self._leading, max(0.0, deadline - time.monotonic()))

    def stop(self, deadline: float) -> bool:
        """Wait until nothing runs, too, and end the slots; return whether that succeeded."""
        if not self.settle(deadline):
            return False
        with self._settled:
            if not self._settled.wait_for(lambda: not self._busy, max(0.0, deadline - time.monotonic())):
                return False
        self.kill()
        for thread in self._threads:
            thread.join(max(0.0, deadline - time.monotonic()))
        return not any(thread.is_alive() for thread in self._threads)

    def kill(self) -> None:
        """End free slots now, and the others after their job."""
        self._over = self._ended = True  # a thread cannot be ended from outside
        self._wake(self.size)

    def _to_wake(self, wanted: int) -> int:
        """Return how many of the sleeping slots to wake, and no longer count them."""
        number = min(wanted, self._sleeping)
        self._sleeping -= number
        return number

    def _wake(self, number: int) -> None:
        for _ in range(number):
            self._wakes.put(None)

    def _run(self) -> None:
        has_run = False  # a job, while the slot is not counted as free
        while True:
            try:
                with self._lock:
                    if has_run:
                        has_run = False
                        self._busy -= 1
                        if self._is_awaited:
                            self._settled.notify_all()
                    job = self._claim()
                if job is None:
                    self._wakes.get()
                    continue
            except BaseException:  # a gevent.Timeout, for instance, that a consumer has started and not closed
                logger.exception("Error in an idle slot; it goes on")
                continue
            if job is _Duty.END:
                return
            if job is _Duty.LEAD:
                job = self._lead()
            if job is not None:
                self._call(job)
                has_run = True
                del job  # before the slot is free: the job holds a message

    def _claim(self) -> Job | _Duty | None:
        """Return work for a slot; None, and count the slot as sleeping, if there is none."""
        if self._jobs:
            return self._jobs.popleft()
        if not (self._leading or self._over):
            self._leading = True
            return _Duty.LEAD
        if self._ended:
            return _Duty.END
        self._sleeping += 1
        return None

    def _lead(self) -> Job | None:
        """Fetch jobs; return the first of them, and leave the rest to other slots."""
        assert self._fetch is not None
        assert self._on_end is not None
        jobs: list[Job] | None = []
        failure: BaseException | None = None
        while jobs == []:
            free = self.size - self._busy
            try:
                jobs = self._fetch(free, free == self.size)
            except BaseException as error:  # noqa: BLE001  it is passed to on_end
                jobs, failure = None, error
        with self._lock:
            if jobs:
                self._fetched_at = time.monotonic()  # first, because ``stuck`` takes no lock
                self._busy += len(jobs)
                self._jobs.extend(jobs[1:])
                wakes = self._to_wake(len(jobs))  # for the others, and for the lead
            else:
                self._over = True
            self._leading = False
            if self._is_awaited:
                self._settled.notify_all()
        if not jobs:
            self._on_end(failure)
            return None
        if wakes:
            self._wake(wakes)
        return jobs[0]

    def _call(self, job: Job) -> None:
        try:
            job()
        except BaseException:
            logger.exception("Error in a pool thread")
