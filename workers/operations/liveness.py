"""How a worker does: what a supervisor may be told by the heartbeat file, by systemd's protocol, and by a process."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import NamedTuple

from workers.runtime.hooks import HookedWorker

# Longer than the 20 s that a layer waits for a Redis that has stopped answering: restarting would not help that.
SILENCE_SECONDS = 30.0


class State(NamedTuple):
    """
    How a worker does.

    ``popping``: a server has answered its last receive; ``pulls``: its pulling loop has shown within the last 30
    seconds that it goes on; then the numbers of messages.
    """

    popping: bool = False
    pulls: bool = False
    in_progress: int = 0
    done: int = 0
    failed: int = 0


def state_of(worker: HookedWorker) -> State:
    """Returns how a worker does now."""
    dispatcher = worker.dispatcher
    pulls = time.monotonic() - worker.pulled_at < SILENCE_SECONDS
    return State(worker.popping, pulls, len(dispatcher.running()), dispatcher.done, dispatcher.failed)


def combined(states: Sequence[State]) -> State:
    """Returns how several workers do together, at least one: each has to pop, and to pull."""
    popping, pulls, in_progress, done, failed = zip(*states)
    return State(all(popping), all(pulls), sum(in_progress), sum(done), sum(failed))
