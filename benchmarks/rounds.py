"""The times that a ping took to come back."""

from __future__ import annotations

import time
from statistics import quantiles
from typing import Any

WARM_UP = 10  # rounds that connect and load scripts, and are left out
MOST = 100_000


class Rounds:
    """A context manager around each round."""

    def __init__(self, seconds: float) -> None:
        self._seconds, self._warm = seconds, 0
        self._taken: list[float] = []
        self._begun = self._deadline = 0.0

    @property
    def over(self) -> bool:
        """Whether there were enough rounds."""
        return len(self._taken) >= MOST or (len(self._taken) > 1 and self._begun > self._deadline)

    def __enter__(self) -> None:
        self._begun = time.perf_counter()

    def __exit__(self, *exc: object) -> None:
        if self._warm < WARM_UP:
            self._warm += 1
            self._deadline = time.perf_counter() + self._seconds
        else:
            self._taken.append(time.perf_counter() - self._begun)

    def to_json(self) -> dict[str, Any]:
        """There and back in µs: the median and the 99th percentile."""
        cuts = quantiles(self._taken, n=100, method="inclusive")
        return {"calls": len(self._taken), "p50": 1e6 * cuts[49], "p99": 1e6 * cuts[98]}
