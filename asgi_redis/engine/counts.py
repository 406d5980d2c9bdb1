"""
Counts of messages in this process, on their way to the counters of a layer.

Messages that are sent are counted by the scripts that send them. A reader that drops a message, or puts one back,
would need a round trip for that; so its counts are added up in the process, and written together.
"""

from __future__ import annotations

import _thread  # gevent leaves its RLock as it is: hubs and native threads share the layer
import threading
import time
from collections.abc import Callable, Mapping

from asgi_redis.process import fork
from asgi_redis.process.time_limits import HANG_TIMEOUT_SECONDS
from asgi_redis.wire.message import Counter
from asgi_redis.wire.names import queue_of

CountsByQueue = Mapping[str, Mapping[Counter, int]]
"""Numbers of messages by queue; those of ``OTHER_QUEUES`` go to the counters of all channels only."""

OTHER_QUEUES = ""
"""Stands for the queues that are too many to be counted one by one."""

WRITE_SECONDS = 1.0
"""How long counts are added up before they are written."""

_QUEUES = 500  # in one write; also bounds the memory while a server is away


class Counts:
    """
    Adds up the counts of one layer in this process, for all threads and greenlets.

    ``write`` adds counts to those of the layer, and returns the counts to write again later: their server is away.
    It must not raise.
    """

    def __init__(self, write: Callable[[CountsByQueue], CountsByQueue]) -> None:
        self._write = write
        self.start_process()
        fork.register(self)

    def start_process(self) -> None:
        """Count from 0 on: the parent writes its own."""
        self._lock = _thread.RLock()
        self._writing = threading.Lock()
        self.waiting: dict[str, dict[Counter, int]] = {}
        """The counts that are not written yet."""
        self._is_scheduled = False

    def add(self, channel: str | None, counter: Counter, number: int = 1) -> None:
        """Count messages of a channel, which may be unknown. Never waits, nor raises."""
        fork.check()  # or the lock may be held by a thread of the parent
        queue = OTHER_QUEUES if channel is None else queue_of(channel)
        with self._lock:
            self._add(queue, counter, number)

    def _add(self, queue: str, counter: Counter, number: int) -> None:
        if queue not in self.waiting and len(self.waiting) >= _QUEUES:
            queue = OTHER_QUEUES
        of_queue = self.waiting.setdefault(queue, {})
        of_queue[counter] = of_queue.get(counter, 0) + number

    def write_soon(self) -> None:
        """
        Have the counts written by a thread, ``WRITE_SECONDS`` from now at the latest.

        It waits for the thread to start. Not to be called with messages in hand that an interruption would cost.
        """
        with self._lock:
            if self._is_scheduled or not self.waiting:
                return
            self._is_scheduled = True
        try:
            threading.Thread(target=self._write_later, name="counts of messages", daemon=True).start()
        except BaseException as error:
            self._is_scheduled = False
            if not isinstance(error, RuntimeError):  # the process can start none: the next call tries again
                raise

    def _write_later(self) -> None:
        time.sleep(WRITE_SECONDS)
        self._is_scheduled = False
        self.flush()

    def flush(self) -> None:
        """
        Write the counts now.

        A server that is away costs a moment, and its counts wait. Where it hangs, it is not known whether it has
        counted: these counts are lost.
        """
        fork.check()
        # Without the lock a call that reads the counters would not wait for the write of another thread.
        if self._writing.acquire(timeout=HANG_TIMEOUT_SECONDS):
            try:
                self._flush()
            finally:
                self._writing.release()

    def _flush(self) -> None:
        with self._lock:
            counts, self.waiting = self.waiting, {}
        if not counts:
            return
        unwritten = self._write(counts)
        with self._lock:
            for queue, of_queue in unwritten.items():
                for counter, number in of_queue.items():
                    self._add(queue, counter, number)
