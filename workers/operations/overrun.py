"""``--soft-time-limit``: logs messages that take too long, with their stacks."""

from __future__ import annotations

import gc
import logging
import sys
import time
import traceback
from types import FrameType

from workers.runtime.dispatcher import Running
from workers.runtime.hooks import HookedWorker, LifecycleHook

logger = logging.getLogger(__name__)


class OverrunWatch(LifecycleHook):
    """Logs messages that run for ``limit`` seconds: with a stack, and at their end."""

    def __init__(self, limit: float) -> None:
        self._limit = limit
        self._logged: set[Running] = set()

    def start(self, worker: HookedWorker) -> None:
        """Begin to look at the durations of messages."""
        worker.dispatcher.observers.append(self._ended)

    def check(self, worker: HookedWorker) -> None:
        """Log the messages that have passed the limit since the last call."""
        now = time.monotonic()
        over = {running for running in worker.dispatcher.running() if now - running.started > self._limit}
        self._logged &= over
        new = over - self._logged
        if not new:
            return
        stacks = stacks_of({running.ident for running in new})
        # A message may have ended before the stack was taken, which is that of the next message in its thread then.
        for running in new & set(worker.dispatcher.running()):
            self._logged.add(running)
            logger.warning(
                "Consumer %s has run for %.1f s with a message on channel %r, longer than %g s; it is here:\n%s",
                running.consumer,
                now - running.started,
                running.channel,
                self._limit,
                stacks.get(running.ident, ""),
            )

    def _ended(self, channel: str, consumer: str, seconds: float, failed: bool) -> None:
        if seconds > self._limit:
            logger.warning(
                "Consumer %s ended after %.1f s with a message on channel %r, longer than %g s",
                consumer,
                seconds,
                channel,
                self._limit,
            )


def stacks_of(idents: set[int]) -> dict[int, str]:
    """Return the stacks of threads or greenlets by ``threading.get_ident``."""
    frames = _greenlet_frames(idents) if _greenlets_run() else sys._current_frames()
    return {
        ident: "".join(traceback.format_stack(frame)).rstrip() for ident, frame in frames.items() if ident in idents
    }


def _greenlets_run() -> bool:
    monkey = sys.modules.get("gevent.monkey")
    return monkey is not None and monkey.is_module_patched("threading")


def _greenlet_frames(idents: set[int]) -> dict[int, FrameType]:
    # gevent gives its greenlets their id() for an ident, and keeps no list of them.
    from greenlet import greenlet

    found = [each for each in gc.get_objects() if id(each) in idents]
    return {id(each): each.gr_frame for each in found if isinstance(each, greenlet) and each.gr_frame is not None}
