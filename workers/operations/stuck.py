"""``--stuck-timeout``: logs which consumers keep all slots busy."""

from __future__ import annotations

import logging
import time

from workers.runtime.hooks import HookedWorker, LifecycleHook

logger = logging.getLogger(__name__)

MAX_LISTED = 20


class StuckWatch(LifecycleHook):
    """Logs that the pool of a worker is stuck, and that it no longer is."""

    def __init__(self) -> None:
        self._stuck = False

    def check(self, worker: HookedWorker) -> None:
        """Log a change."""
        if worker.pool.stuck == self._stuck:
            return
        self._stuck = not self._stuck
        if self._stuck:
            logger.error(
                "Stuck: no slot has become free for %g s; in progress: %s",
                worker.pool.stuck_timeout,
                _in_progress(worker),
            )
        else:
            logger.warning("No longer stuck: a slot has become free")


def _in_progress(worker: HookedWorker) -> str:
    """Return the consumers that run, the longest first."""
    now, running = time.monotonic(), worker.dispatcher.running()
    listed = [
        f"{each.consumer} on channel {each.channel!r} for {now - each.started:.1f} s" for each in running[:MAX_LISTED]
    ]
    more = len(running) - len(listed)
    return ", ".join(listed) + (f" and {more} more" if more else "")
