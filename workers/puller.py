"""
Fetches messages for free slots: slot first, then receive.

One puller serves all the servers of a layer at once: with one for each server, the last free slot would wait at one
of them for a message that is on another. What a receive returns is always run, also in the moment of a stop.
"""

from __future__ import annotations

import functools
import logging
import threading
import time
from typing import Any, Callable

from asgi_redis.exceptions import ChannelLayerError
from workers.layers import Reader
from workers.limits import Limits
from workers.pool import Pool

logger = logging.getLogger(__name__)

WAIT_SECONDS = 2.0
# What a burst waits while consumers run, which may send something.
BURST_WAIT_SECONDS = 0.02
SIGN_OF_LIFE_SECONDS = 1.0

Handler = Callable[[str, "dict[str, Any]"], None]


class Puller:
    """
    The thread that pulls from the channels of ``limits`` into the slots of a pool.

    ``handle(channel, content)`` is run in a slot for each message. ``on_end`` is called when the thread ends,
    for whatever reason; ``failure`` then is the exception that ended it, or None. With ``burst`` it ends when the
    channels are empty and nothing runs. ``pulled_at`` is its last sign of life (``time.monotonic``): it gives one
    at least every few seconds, whether or not there are free slots and messages.
    """

    def __init__(
        self,
        reader: Reader,
        limits: Limits,
        pool: Pool,
        handle: Handler,
        on_end: Callable[[], None],
        burst: bool = False,
    ) -> None:
        self.failure: BaseException | None = None
        self.pulled_at = time.monotonic()
        self._reader = reader
        self._limits = limits
        self._pool = pool
        self._handle = handle
        self._on_end = on_end
        self._burst = burst
        self._room = threading.Event()
        self._quieted = threading.Event()  # never cleared: a stop that comes before the start is kept
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Starts pulling; again, after the thread has ended by a failure."""
        self.failure = None
        self._thread = threading.Thread(target=self._run, name="puller", daemon=True)
        self._thread.start()

    def quiet(self) -> None:
        """Stops pulling, without waiting for it."""
        self._quieted.set()
        self._pool.quiet()
        self._room.set()
        self._reader.unblock()
        self._reader.close()

    def stop(self, deadline: float) -> bool:
        """Waits for the thread's end; returns whether that was by ``deadline`` (``time.monotonic``)."""
        if self._thread is None:
            return True
        self._thread.join(max(0.0, deadline - time.monotonic()))
        return not self._thread.is_alive()

    @property
    def alive(self) -> bool:
        """Whether the thread runs."""
        return self._thread is not None and self._thread.is_alive()

    def _run(self) -> None:
        try:
            while not self._quieted.is_set():
                self.pulled_at = time.monotonic()
                slots = self._pool.acquire(SIGN_OF_LIFE_SECONDS)
                if slots and self._pull(slots):
                    return
        except ChannelLayerError as error:
            self.failure = error
            logger.critical("The worker ends: %s", error)
        except BaseException as error:
            self.failure = error
            logger.critical("The puller has failed", exc_info=True)
        finally:
            self._on_end()

    def _pull(self, slots: int) -> bool:
        """Fills acquired slots, as far as there are messages. Returns whether a burst is over."""
        idle = slots == self._pool.size
        try:
            self._room.clear()
            channels, most = self._limits.room()
            if not channels:
                self._pool.release(slots)
                slots = 0
                self._room.wait(SIGN_OF_LIFE_SECONDS)
                return False
            timeout = WAIT_SECONDS
            if self._burst:
                timeout = 0 if idle else BURST_WAIT_SECONDS
            batch = self._reader.receive_batch(channels, slots, timeout, most)
            for channel, content in batch:
                run = self._handle
                if self._limits.has(channel):
                    self._limits.take(channel)
                    run = self._run_limited
                self._pool.submit(functools.partial(run, channel, content))
                slots -= 1
        finally:
            if slots:
                self._pool.release(slots)
        return self._burst and idle and not batch and self._reader.serving

    def _run_limited(self, channel: str, content: dict[str, Any]) -> None:
        try:
            self._handle(channel, content)
        finally:
            if self._limits.free(channel):
                # It may be waiting for messages of the other channels only.
                self._room.set()
                self._reader.unblock()
