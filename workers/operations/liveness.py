"""Whether a worker pulls: what a supervisor may be told by the heartbeat file and by systemd's watchdog."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from workers.worker import Worker

# Longer than the 20 s that a layer waits for a Redis that has stopped answering: restarting would not help that.
SILENCE_SECONDS = 30.0


def pulls(worker: Worker) -> bool:
    """Whether the pulling loop has shown within the last 30 seconds that it goes on."""
    return time.monotonic() - worker.pulled_at < SILENCE_SECONDS
