"""When replacing what has died is no longer the answer."""

from __future__ import annotations

import time
from collections import deque

MOST = 5
WITHIN_SECONDS = 60.0


class Losses:
    """Told of each pool thread or puller that died, it knows when that keeps happening: 5 times in a minute."""

    def __init__(self) -> None:
        self._times: deque[float] = deque(maxlen=MOST)

    def add(self, number: int = 1) -> None:
        """Takes note of losses."""
        self._times.extend([time.monotonic()] * number)

    @property
    def keep_happening(self) -> bool:
        """Whether the worker had better end."""
        return len(self._times) == MOST and time.monotonic() - self._times[0] < WITHIN_SECONDS
