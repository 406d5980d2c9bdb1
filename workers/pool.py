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


class ThreadPool(Pool):
    """
    One thread for each slot.

    The threads are daemons of its own: those of ``concurrent.futures`` hold up the end of the process.
    """

    def __init__(self, size: int) -> None:
        super().__init__(size)
        self._free = size
        self._quieted = False
        self._changed = threading.Condition(threading.Lock())
        self._jobs: SimpleQueue[Job | None] = SimpleQueue()
        self._threads = {number: self._thread(number) for number in range(1, size + 1)}

    def start(self) -> None:
        """Starts the threads."""
        for thread in self._threads.values():
            thread.start()

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
        self._jobs.put(job)

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
        threads = list(self._threads.values())
        for thread in threads:
            if thread.ident is not None:
                thread.join(max(0.0, deadline - time.monotonic()))
        return not any(thread.is_alive() for thread in threads)

    def kill(self) -> None:
        """Ends free threads now, the others after their job: a thread cannot be ended from outside."""
        for _ in range(self.size):
            self._jobs.put(None)

    def _thread(self, number: int) -> threading.Thread:
        return threading.Thread(target=self._run, args=(number,), name=f"slot-{number}", daemon=True)

    def _run(self, number: int) -> None:
        job: Job | None = None
        orderly = False
        try:
            while True:
                job = self._jobs.get()
                if job is None:
                    orderly = True
                    return
                try:
                    job()
                except BaseException:
                    logger.exception("Error in a pool thread")
                # Let go before the slot is free again: the job holds a message.
                job = None
                self.release(1)
        finally:
            if not orderly:
                self._replace(number, job)

    def _replace(self, number: int, job: Job | None) -> None:
        # Something has raised an exception into this thread from outside, between two jobs.
        logger.error("Pool thread slot-%d has ended; replacing it", number, exc_info=True)
        with self._changed:
            self.lost += 1
        if job is not None:
            self.release(1)
        self._threads[number] = self._thread(number)
        self._threads[number].start()
