"""
Slots to run consumers in.

A slot is taken before a message is fetched, so that a worker never holds a message that it cannot start.
Whoever pulls is to go through ``acquire`` → ``submit`` for each message → ``release`` for the slots that were
not needed.
"""

from __future__ import annotations

import logging
import threading
import time
from abc import ABC, abstractmethod
from collections import deque
from queue import SimpleQueue
from typing import Callable

logger = logging.getLogger(__name__)

Job = Callable[[], None]


class Pool(ABC):
    """A fixed number of slots: ``size``. ``lost`` counts slots that ended by themselves; each was replaced."""

    def __init__(self, size: int) -> None:
        if size < 1:
            raise ValueError(f"a pool has at least one slot, not {size}")
        self.size = size
        self.lost = 0

    @abstractmethod
    def start(self) -> None:
        """Makes the slots ready to run jobs."""

    @abstractmethod
    def acquire(self, timeout: float) -> int:
        """
        Waits for a free slot, takes it and every other one that is free, and returns how many that are.

        Returns 0 when none is free for ``timeout`` seconds, and as soon as the pool has been quieted.
        """

    @abstractmethod
    def release(self, slots: int) -> None:
        """Gives back slots that were acquired and not used."""

    @abstractmethod
    def submit(self, job: Job) -> None:
        """Starts a job in one acquired slot, which is free again when the job ends. Also after ``quiet``."""

    @abstractmethod
    def quiet(self) -> None:
        """Hands out no more slots; whoever waits for one is told at once."""

    @abstractmethod
    def stop(self, deadline: float) -> bool:
        """
        Waits until nothing runs, then ends the slots; returns whether that was so by ``deadline``.

        ``deadline`` is a time of ``time.monotonic``. To be called after ``quiet``, again if it returned
        False.
        """

    @abstractmethod
    def kill(self) -> None:
        """Waits for nothing and leaves what runs to its fate."""


class _Slot:
    """A thread, and the job that it has claimed. ``started`` is whether the job may have begun."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.job: Job | None = None
        self.started = False
        self.thread: threading.Thread | None = None


class ThreadPool(Pool):
    """
    One thread for each slot.

    The threads are daemons of its own: those of ``concurrent.futures`` hold up the end of the process.
    """

    def __init__(self, size: int) -> None:
        super().__init__(size)
        self._free = size
        self._quieted = False
        self._ended = False
        self._changed = threading.Condition(threading.Lock())
        self._slots = [_Slot(number) for number in range(1, size + 1)]
        self._jobs: deque[Job] = deque()
        self._claiming = threading.Lock()
        self._wakes: SimpleQueue[None] = SimpleQueue()

    def start(self) -> None:
        """Starts the threads."""
        for slot in self._slots:
            self._start(slot)

    def acquire(self, timeout: float) -> int:
        """See ``Pool.acquire``."""
        with self._changed:
            if not self._free and not self._quieted:
                self._changed.wait(timeout)
            if self._quieted:
                return 0
            slots, self._free = self._free, 0
            return slots

    def release(self, slots: int) -> None:
        """See ``Pool.release``."""
        with self._changed:
            self._free += slots
            self._changed.notify_all()

    def submit(self, job: Job) -> None:
        """See ``Pool.submit``."""
        self._jobs.append(job)
        self._wakes.put(None)

    def quiet(self) -> None:
        """See ``Pool.quiet``."""
        with self._changed:
            self._quieted = True
            self._changed.notify_all()

    def stop(self, deadline: float) -> bool:
        """See ``Pool.stop``."""
        with self._changed:
            left = max(0.0, deadline - time.monotonic())
            if not self._changed.wait_for(lambda: self._free == self.size, left):
                return False
        self.kill()
        threads = [slot.thread for slot in self._slots if slot.thread is not None]
        for thread in threads:
            thread.join(max(0.0, deadline - time.monotonic()))
        return not any(thread.is_alive() for thread in threads)

    def kill(self) -> None:
        """Ends free threads now, the others after their job: a thread cannot be ended from outside."""
        self._ended = True
        for _ in self._slots:
            self._wakes.put(None)

    def _start(self, slot: _Slot) -> None:
        slot.thread = threading.Thread(target=self._run, args=(slot,), name=f"slot-{slot.number}", daemon=True)
        slot.thread.start()

    def _run(self, slot: _Slot) -> None:
        try:
            while True:
                self._wakes.get()
                with self._claiming:
                    # In two steps: an exception from outside may come after either, and must not lose a job.
                    if self._jobs:
                        slot.job = self._jobs[0]
                        self._jobs.popleft()
                if slot.job is not None:
                    slot.started = True
                    self._call(slot.job)
                    self._done(slot)
                elif self._ended:
                    return
        except BaseException:
            logger.exception("Pool thread slot-%d has ended between two jobs; replacing it", slot.number)
            self._replace(slot)

    def _call(self, job: Job) -> None:
        try:
            job()
        except BaseException:
            logger.exception("Error in a pool thread")

    def _done(self, slot: _Slot) -> None:
        slot.job, slot.started = None, False
        self.release(1)

    def _replace(self, slot: _Slot) -> None:
        with self._changed:
            self.lost += 1
        if slot.started:
            self._done(slot)
        else:
            with self._claiming:
                if slot.job is not None and not (self._jobs and self._jobs[0] is slot.job):
                    self._jobs.appendleft(slot.job)
                slot.job = None
        self._wakes.put(None)  # the thread may have been woken for a job that it has not claimed
        self._start(slot)
