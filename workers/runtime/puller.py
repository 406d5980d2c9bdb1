"""
Receives messages for free slots: slot first, then receive.

One puller serves all the servers of a layer at once: with one for each server, the last free slot would wait at one
server for a message that is on another. Every message that is received is run, also in the moment of a stop.
"""

from __future__ import annotations

import functools
import logging
import threading
import time
from typing import Any, Callable

from asgi_redis.engine.layer_reader import LayerReader
from workers.runtime.limits import ChannelLimits
from workers.runtime.pool import Job

logger = logging.getLogger(__name__)

WAIT_SECONDS = 2.0
BURST_WAIT_SECONDS = 0.02  # while consumers run, which may send something
BURST_TIMEOUT_SECONDS = 30.0
# With more messages at once, the first of them would wait for the last; it is enough to make the round trip cheap.
MAX_BATCH = 64

Handler = Callable[[str, "dict[str, Any]"], None]


class Puller:
    """
    Receives from the channels of ``limits``, and makes a job of each message.

    The job calls ``handle(channel, content)``.

    ``quieted`` is whether pulling was ended.

    With ``burst`` it ends when the channels are empty on every server and nothing runs. It also ends, with
    ``gave_up`` true, when nothing runs and a server has not answered for ``burst_timeout`` seconds.

    ``pulled_at`` is the last sign of life (``time.monotonic``): while there are free slots it is never older than the
    two seconds of a receive, plus the time that a server hangs.
    """

    def __init__(
        self,
        reader: LayerReader,
        limits: ChannelLimits,
        handle: Handler,
        burst: bool = False,
        burst_timeout: float = BURST_TIMEOUT_SECONDS,
    ) -> None:
        self.pulled_at = time.monotonic()
        self.gave_up = False
        self.quieted = False  # for good: a stop that comes before the start is kept
        self._reader = reader
        self._limits = limits
        self._handle = handle
        self._burst = burst
        self._burst_timeout = burst_timeout
        self._unanswered_since: float | None = None
        self._room = threading.Event()

    def quiet(self) -> None:
        """End pulling, and the receive that waits."""
        self.quieted = True
        self._room.set()
        self._reader.unblock()
        self._reader.close()

    def fetch(self, slots: int, idle: bool) -> list[Job] | None:
        """
        Wait for messages and return up to ``slots`` jobs.

        Return None after ``quiet``, or when a burst is over.

        ``idle`` is whether nothing runs.
        """
        if self.quieted:
            return None
        self.pulled_at = time.monotonic()
        channels, limits = self._limits.room()
        if not channels:
            self._wait_for_room()
            return []
        timeout = WAIT_SECONDS
        if self._burst:
            timeout = 0 if idle and self._reader.serving else BURST_WAIT_SECONDS
        batch = self._reader.receive_batch(channels, min(slots, MAX_BATCH), timeout, limits)
        if self._burst and self._burst_is_over(idle and not batch):
            return None
        return [self._job(channel, content) for channel, content in batch]

    def _wait_for_room(self) -> None:
        self._room.clear()  # first: a message that ends from now on, or a quiet, is noticed
        if not (self.quieted or self._limits.room()[0]):
            self._room.wait(WAIT_SECONDS)

    def _burst_is_over(self, idle: bool) -> bool:
        if self._reader.complete and self._reader.serving:
            self._unanswered_since = None
            return idle
        if self._unanswered_since is None:
            self._unanswered_since = self.pulled_at
        if idle and time.monotonic() - self._unanswered_since >= self._burst_timeout:
            logger.error("The burst ends: not every server has answered for %g s", self._burst_timeout)
            self.gave_up = True
        return self.gave_up

    def _job(self, channel: str, content: dict[str, Any]) -> Job:
        if not self._limits.has(channel):
            return functools.partial(self._handle, channel, content)
        self._limits.take(channel)
        return functools.partial(self._run_limited, channel, content)

    def _run_limited(self, channel: str, content: dict[str, Any]) -> None:
        try:
            self._handle(channel, content)
        finally:
            if self._limits.free(channel):
                # The receive in progress leaves this channel out.
                self._room.set()
                self._reader.unblock()
