"""The state of a worker, for the heartbeat file, systemd and the supervisor."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import NamedTuple

from workers.runtime.hooks import HookedWorker

# Longer than the 20 s that a layer waits for a Redis that has stopped answering: a restart would not help then.
SILENCE_SECONDS = 30.0


class WorkerState(NamedTuple):
    """
    The state of a worker, with its numbers of messages.

    ``popping``: a server has answered the last receive. ``pulls``: the receiving loop has given a sign of life within
    ``SILENCE_SECONDS``, and the pool is not stuck. ``stuck``: it is.
    """

    popping: bool = False
    pulls: bool = False
    in_progress: int = 0
    done: int = 0
    failed: int = 0
    stuck: bool = False


def state_of(worker: HookedWorker) -> WorkerState:
    """Return the state of a worker now."""
    dispatcher = worker.dispatcher
    stuck = worker.pool.stuck
    pulls = not stuck and time.monotonic() - worker.pulled_at < SILENCE_SECONDS
    return WorkerState(worker.popping, pulls, len(dispatcher.running()), dispatcher.done, dispatcher.failed, stuck)


def combined(states: Sequence[WorkerState]) -> WorkerState:
    """Return the state of several workers together: each has to pop, and to pull."""
    popping, pulls, in_progress, done, failed, stuck = zip(*states)
    return WorkerState(all(popping), all(pulls), sum(in_progress), sum(done), sum(failed), any(stuck))
