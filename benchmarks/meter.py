"""Adds up the calls, wall time and CPU times of one measurement."""

from __future__ import annotations

import resource
import time
from typing import Any

from .raw import RawConnection


def own_cpu_seconds() -> float:
    """Return the user and system time of this process so far, all its threads."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


class Meter:
    """A context manager around each timed stretch, whose user adds to ``calls``."""

    def __init__(self, raw: RawConnection) -> None:
        self._raw = raw
        self.calls = 0
        self.seconds = self.client_cpu = self.redis_cpu = 0.0

    def __enter__(self) -> Meter:
        self.redis_cpu -= self._raw.cpu_seconds()
        self.client_cpu -= own_cpu_seconds()
        self.seconds -= time.perf_counter()
        return self

    def __exit__(self, *exc: object) -> None:
        self.seconds += time.perf_counter()
        self.client_cpu += own_cpu_seconds()
        self.redis_cpu += self._raw.cpu_seconds()

    def to_json(self) -> dict[str, Any]:
        """Return calls a second, CPU µs a call, and the share of a CPU of both sides."""
        return {
            "calls": self.calls,
            "rate": self.calls / self.seconds,
            "client_cpu": 1e6 * self.client_cpu / self.calls,
            "redis_cpu": 1e6 * self.redis_cpu / self.calls,
            "share": (self.client_cpu + self.redis_cpu) / self.seconds,
        }
