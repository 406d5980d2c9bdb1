"""
Slots to run consumers in: threads, or greenlets where gevent has patched the standard library.

The slots fetch their messages themselves. A free one takes the lead: it fetches as many messages as there are free
slots, gives all but the first to others, passes on the lead, and runs the first itself. So a slot is there before a
message is, and with a single slot no message changes threads.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from queue import SimpleQueue
from typing import Callable, Optional

logger = logging.getLogger(__name__)

Job = Callable[[], None]
# Gets the number of free slots, and whether those are all; waits for jobs, returns no more than that, maybe none,
# or None when there will be no more.
Fetch = Callable[[int, bool], Optional[list[Job]]]


SLOT = "slot-"
"""What the names of the threads begin with."""


class _Slot:
    """A thread, and the job that it has claimed. ``started`` is whether the job may have begun."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.job: Job | None = None
        self.started = False
        self.thread: threading.Thread | None = None


class Pool:
    """
    A fixed number of slots: ``size``. ``lost`` counts those that ended by themselves; each was replaced.

    The threads are daemons of its own: those of ``concurrent.futures`` hold up the end of the process.
    """

    def __init__(self, size: int) -> None:
        if size < 1:
            raise ValueError(f"a pool has at least one slot, not {size}")
        self.size = size
        self.lost = 0
        self._fetch: Fetch | None = None
        self._on_end: Callable[[BaseException | None], None] | None = None
        self._slots = [_Slot(number) for number in range(1, size + 1)]
        self._lock = threading.Lock()
        self._busy = 0  # jobs fetched and not done
        self._jobs: deque[Job] = deque()  # those of them that no slot has claimed yet
        self._leader: _Slot | None = None
        self._over = True  # whether nothing is to be fetched
        self._ended = False
        # One for each job to be claimed, and one for the lead.
        self._wakes: SimpleQueue[None] = SimpleQueue()
        self._settled = threading.Condition(self._lock)

    @property
    def saturated(self) -> bool:
        """Whether every slot is busy, so that nothing is fetched for that reason."""
        return self._busy == self.size

    def start(self, fetch: Fetch, on_end: Callable[[BaseException | None], None]) -> None:
        """
        Starts the slots; they call ``fetch``, one at a time.

        ``on_end`` is called with None when it has returned None, or with what it has raised. Then nothing is
        fetched any more, until ``resume``.
        """
        self._fetch, self._on_end = fetch, on_end
        for slot in self._slots:
            self._start(slot)
        self.resume()

    def resume(self) -> None:
        """Goes on fetching after ``fetch`` has raised."""
        self._over = False
        self._wakes.put(None)

    def settle(self, deadline: float) -> bool:
        """
        Waits until no slot is in ``fetch``; returns whether that was so by ``deadline`` (``time.monotonic``).

        To be called when ``fetch`` would return None.
        """
        with self._settled:
            return self._settled.wait_for(lambda: self._leader is None, max(0.0, deadline - time.monotonic()))

    def stop(self, deadline: float) -> bool:
        """Waits until nothing runs, too, and ends the slots; returns whether that was so by ``deadline``."""
        if not self.settle(deadline):
            return False
        with self._settled:
            if not self._settled.wait_for(lambda: not self._busy, max(0.0, deadline - time.monotonic())):
                return False
        self.kill()
        return all(self._join(slot, deadline) for slot in self._slots)

    def kill(self) -> None:
        """Ends free slots now, the others after their job: a thread cannot be ended from outside."""
        self._over = self._ended = True
        for _ in self._slots:
            self._wakes.put(None)

    def _join(self, slot: _Slot, deadline: float) -> bool:
        joined = None
        # One that ended between two jobs has started another in its place.
        while (thread := slot.thread) is not None and thread is not joined:
            thread.join(max(0.0, deadline - time.monotonic()))
            if thread.is_alive():
                return False
            joined = thread
        return True

    def _start(self, slot: _Slot) -> None:
        thread = threading.Thread(target=self._run, args=(slot,), name=f"{SLOT}{slot.number}", daemon=True)
        thread.start()
        slot.thread = thread  # now it can be joined

    def _run(self, slot: _Slot) -> None:
        try:
            while True:
                self._wakes.get()
                self._claim(slot)
                if slot.job is None and self._leader is slot:
                    self._lead(slot)
                if slot.job is not None:
                    slot.started = True
                    self._call(slot.job)
                    self._done(slot)
                elif self._ended:
                    return
        except BaseException:  # noqa: BLE001  it is logged, and the slot goes on in another thread
            try:
                logger.exception("Pool thread slot-%d has ended between two jobs; replacing it", slot.number)
            finally:
                self._replace(slot)  # also where a handler or filter of the project's logging raises

    def _claim(self, slot: _Slot) -> None:
        with self._lock:
            if self._jobs:
                # In two steps: an exception from outside may come after either, and must not lose a job.
                slot.job = self._jobs[0]
                self._jobs.popleft()
            elif self._leader is None and not self._over:
                self._leader = slot

    def _lead(self, slot: _Slot) -> None:
        assert self._fetch is not None
        jobs: list[Job] | None = []
        failure: BaseException | None = None
        while jobs == []:
            free = self.size - self._busy
            try:
                jobs = self._fetch(free, free == self.size)
            except BaseException as error:  # noqa: BLE001  passed on to whoever started the pool
                jobs, failure = None, error
        with self._settled:
            if jobs:
                self._busy += len(jobs)
                self._jobs.extend(jobs[1:])
                slot.job = jobs[0]
            else:
                self._over = True
            self._leader = None
            self._settled.notify_all()
        for _ in jobs or ():
            self._wakes.put(None)
        if not jobs:
            assert self._on_end is not None
            self._on_end(failure)

    def _call(self, job: Job) -> None:
        try:
            job()
        except BaseException:
            logger.exception("Error in a pool thread")

    def _done(self, slot: _Slot) -> None:
        # Let go before the slot is free again: the job holds a message.
        slot.job = None
        with self._settled:
            # In one step: what is raised from outside must find both done or none.
            self._busy, slot.started = self._busy - 1, False
            if not self._busy:
                self._settled.notify_all()

    def _replace(self, slot: _Slot) -> None:
        with self._lock:
            self.lost += 1
            if self._leader is slot:
                self._leader = None
            if slot.job is not None and not slot.started:
                if not (self._jobs and self._jobs[0] is slot.job):
                    self._jobs.appendleft(slot.job)
                slot.job = None
        if slot.started:
            self._done(slot)
        self._wakes.put(None)  # it may have been woken for a job, or the lead, that it has not claimed
        try:
            self._start(slot)
        except RuntimeError:
            logger.warning("No thread can be started for slot-%d: its old one goes on", slot.number)
            self._run(slot)
