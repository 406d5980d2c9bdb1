"""
Fetches messages for free slots: slot first, then receive.

One puller serves all the servers of a layer at once: with one for each server, the last free slot would wait at one
of them for a message that is on another. What a receive returns is always run, also in the moment of a stop.
"""

from __future__ import annotations

import functools
import threading
import time
from typing import Any, Callable

from asgi_redis.engine.layer_reader import LayerReader
from workers.runtime.limits import Limits
from workers.runtime.pool import Job

WAIT_SECONDS = 2.0
# What a burst waits while consumers run, which may send something.
BURST_WAIT_SECONDS = 0.02
BURST_TIMEOUT_SECONDS = 30.0  # how long a burst waits for servers that do not answer
# More at once would keep the first of them waiting for the last; it is enough to make the round trip cheap.
MOST_AT_ONCE = 64

Handler = Callable[[str, "dict[str, Any]"], None]


class Puller:
    """
    Pulls from the channels of ``limits``; ``fetch`` is what a ``Pool`` calls.

    ``handle(channel, content)`` is to be run for each message. With ``burst`` there is no more to fetch when the
    channels are empty on every server and nothing runs; nor, with ``gave_up`` true, when nothing runs and a server
    has not answered for ``burst_timeout`` seconds. ``pulled_at`` is the last sign of life (``time.monotonic``):
    while there are free slots it is never older than the two seconds of a receive, or what a server that hangs adds
    to them.
    """

    def __init__(
        self,
        reader: LayerReader,
        limits: Limits,
        handle: Handler,
        burst: bool = False,
        burst_timeout: float = BURST_TIMEOUT_SECONDS,
    ) -> None:
        self.pulled_at = time.monotonic()
        self.gave_up = False
        self._reader = reader
        self._limits = limits
        self._handle = handle
        self._burst = burst
        self._burst_timeout = burst_timeout
        self._unanswered_since: float | None = None
        self._room = threading.Event()
        self._quieted = threading.Event()  # never cleared: a stop that comes before the start is kept

    @property
    def quieted(self) -> bool:
        """Whether pulling was ended."""
        return self._quieted.is_set()

    def quiet(self) -> None:
        """Ends pulling, and the receive that waits."""
        self._quieted.set()
        self._room.set()
        self._reader.unblock()
        self._reader.close()

    def fetch(self, slots: int, idle: bool) -> list[Job] | None:
        """
        Waits for messages and returns up to ``slots`` of them as jobs; None after ``quiet``, or when a burst is over.

        ``idle`` is whether nothing runs.
        """
        self._room.clear()  # first: a quiet that comes from now on is seen by one of the two
        if self._quieted.is_set():
            return None
        self.pulled_at = time.monotonic()
        channels, limits = self._limits.room()
        if not channels:
            self._room.wait(WAIT_SECONDS)
            return []
        timeout = WAIT_SECONDS
        if self._burst:
            timeout = 0 if idle and self._reader.serving else BURST_WAIT_SECONDS
        batch = self._reader.receive_batch(channels, min(slots, MOST_AT_ONCE), timeout, limits)
        if self._burst and self._burst_is_over(idle and not batch):
            return None
        return [self._job(channel, content) for channel, content in batch]

    def _burst_is_over(self, idle: bool) -> bool:
        if self._reader.complete and self._reader.serving:
            self._unanswered_since = None
            return idle
        if self._unanswered_since is None:
            self._unanswered_since = self.pulled_at
        self.gave_up = idle and time.monotonic() - self._unanswered_since >= self._burst_timeout
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
                # It may be waiting for messages of the other channels only.
                self._room.set()
                self._reader.unblock()
