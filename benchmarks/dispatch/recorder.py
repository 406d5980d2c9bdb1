"""
Records when the first message began, when the last one ended, and their ages.

Each subject's consumer calls it, within the worker process. Its order, which the command gives to workers and
producers alike, is JSON in ``BENCH_ORDER``.
"""

from __future__ import annotations

import itertools
import json
import os
import time
from pathlib import Path
from statistics import quantiles
from typing import Any

from ..meter import own_cpu_seconds

VARIABLE = "BENCH_ORDER"
_TICK = os.sysconf("SC_CLK_TCK")


def the_order() -> dict[str, Any]:
    """Return the order; its ``skip`` is the number of first messages left out."""
    return json.loads(os.environ[VARIABLE])


class Recorder:
    """
    Counts messages: ``begin`` and ``end`` are called around each, from any thread.

    The first ``begin`` makes the file ``answer`` + ``.begun``; the last ``end`` writes the figures to ``answer``.
    """

    def __init__(self, order: dict[str, Any]) -> None:
        self.sleep: float = order["sleep"]
        self._count, self._skip = order["count"], order["skip"]
        self._answer = Path(order["answer"])
        # Taking the next number of a count is one step under the GIL, so it needs no lock.
        self._begun, self._ended = itertools.count(), itertools.count(1)
        self._ages: list[float] = []
        self._wall = self._cpu = 0.0

    def begin(self, sent: float) -> None:
        """Note that a message begins, sent at ``sent`` (``time.monotonic``)."""
        now = time.monotonic()
        self._ages.append(now - sent)
        number = next(self._begun)
        if number == 0:
            self._answer.with_suffix(".begun").touch()
        if number == self._skip:
            self._wall, self._cpu = now, _cpu_seconds()

    def end(self) -> None:
        """Note that it has ended."""
        if next(self._ended) == self._count:
            wall, cpu = time.monotonic() - self._wall, _cpu_seconds() - self._cpu
            ages = quantiles(self._ages[self._skip :], n=100, method="inclusive")
            figures = {
                "rate": (self._count - self._skip) / wall,
                "per_cpu": (self._count - self._skip) / cpu,
                "p50": 1e6 * ages[49],
                "p99": 1e6 * ages[98],
            }
            whole = self._answer.with_suffix(".part")
            whole.write_text(json.dumps(figures))
            whole.rename(self._answer)  # so that no reader sees a part of it

    def work(self, sent: float) -> None:
        """Do the work of a consumer: nothing, or a sleep."""
        self.begin(sent)
        if self.sleep:
            time.sleep(self.sleep)  # the greenlet's, where the worker has patched it
        self.end()


def _cpu_seconds() -> float:
    """Return the CPU time of this worker: of all processes in its session."""
    used, session = own_cpu_seconds(), os.getsid(0)
    for stat in Path("/proc").glob("[0-9]*/stat"):
        if stat.parent.name == str(os.getpid()):
            continue
        try:
            # After the name, which may have anything in it: state, parent, group, session, ...
            fields = stat.read_text().rpartition(")")[2].split()
        except (FileNotFoundError, ProcessLookupError):
            continue  # it has ended meanwhile
        if int(fields[3]) == session:
            used += (int(fields[11]) + int(fields[12])) / _TICK
    return used
