"""The figures of the soak tests, for ``benchmarks/results/deploys.json``."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from benchmarks.record import Conditions, Line, Measured, Value, save

from .stack import THREADS, Report

DEPLOYS, RESTARTS, KILLS = "deploys of workers", "restarts of Redis", "kills of workers"
ROWS = {DEPLOYS: 4, RESTARTS: 6, KILLS: 1}
METHOD = (
    "1,000 websockets on one uvicorn, two workers, Redis and the clients, all on the same processors; each socket "
    "sends a frame every ten seconds; latencies are from the frame to its answer"
)
_COLUMNS = ("frames", "lost", "doubled", "out of order", "closed", "p50, ms", "p99, ms", "longest, ms")
Add = Callable[..., None]


class DeployFigures:
    """Rows of tables; a table is saved if it has all its rows."""

    def __init__(self, arguments: Iterable[str]) -> None:
        self._arguments = [*arguments]
        self._begun: dict[str, Conditions] = {}
        self._lines: dict[str, list[Line]] = {}
        self._columns: dict[str, list[str]] = {}

    @contextlib.contextmanager
    def row(self, table: str, name: str) -> Iterator[Add]:
        """Yield a function that adds the row of a report, with further columns that this table has."""
        self._begun.setdefault(table, Conditions("pytest", self._arguments))

        def add(report: Report, more: Mapping[str, int] | None = None) -> None:
            counts = [len(one) for one in (report.lost, report.doubled, report.disordered, report.closed)]
            latencies = [report.milliseconds[one] for one in ("p50", "p99", "max")]
            values: list[Value] = [report.sent, *counts, *latencies, *(more or {}).values()]
            self._columns[table] = [*_COLUMNS, *(more or {})]
            self._lines.setdefault(table, []).append(Line(name, "", values))

        yield add

    def save(self, directory: Path) -> None:
        """Save the tables that have all their rows."""
        for table, lines in self._lines.items():
            if len(lines) == ROWS[table]:
                measured = Measured(table[0].upper() + table[1:], self._columns[table], lines)
                save(directory, "deploys", self._begun[table].end(METHOD), {table: measured})


def described(path: str, flags: Sequence[str]) -> str:
    """Return the pool, and whether frames are handled in their order, as words."""
    return ("threads" if flags == THREADS else "gevent") + (", enforce_ordering" if path == "/ordered" else "")
