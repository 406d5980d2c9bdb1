"""A million messages a second and 10,000 workers, computed from what was measured."""

from __future__ import annotations

import math
from typing import NamedTuple

from ..record import Line, Measured
from ..table import number
from . import rates, shards
from .figures import Figures, Row, simple_table

TITLE = "On paper: 1,000,000 messages a second, 10,000 workers"
MESSAGES = 1_000_000  # a second
WORKERS = 10_000
BUSY = 0.6  # of the thread of a Redis, so that there is room for peaks and for a failover
CELL = 4  # masters, and shards
MAX_CLIENTS = 10_000  # of a Redis, by default
LOADS = ("normal", "batches", "group")
GROUP = 1_000  # interface processes with members of one group


class Step(NamedTuple):
    """A line of the plan: what, how it is computed, and what comes out."""

    name: str
    by: str
    value: float
    unit: str

    @property
    def shown(self) -> str:
        """The value with its unit, and a word where it is over a limit."""
        value = number(self.value) if self.unit == "ms" else f"{self.value:,.0f}"
        over = f", over maxclients {MAX_CLIENTS:,}" if "of a master" in self.name and self.value > MAX_CLIENTS else ""
        return f"{value} {self.unit}".rstrip() + over


def text(figures: Figures) -> str:
    """Return the plan; an empty text where there are no figures of rates and shards."""
    found = steps(figures)
    lines = [[step.name, step.by, step.shown] for step in found]
    return "\n".join([TITLE, "-" * len(TITLE), "", simple_table(["", "by", ""], lines)]) if found else ""


def measured(figures: Figures) -> dict[str, Measured]:
    """Return the plan as a table for a results file, or nothing where there are no figures of rates and shards."""
    lines = [Line(step.name, step.unit, [step.value]) for step in steps(figures)]
    return {"plan": Measured(TITLE, ["number"], lines)} if lines else {}


def steps(figures: Figures) -> list[Step]:
    """Return the lines of the plan."""
    one_by_one, batches, group = (_microseconds(figures, load, rates.PER_SERVERS) for load in LOADS)
    client = _microseconds(figures, "batches", rates.PER_CLIENT)
    wake_up = [_line(figures, "p50, ms"), _line(figures, "client CPU, µs"), _line(figures, "servers' CPU, µs")]
    if one_by_one is None or batches is None or group is None or client is None or None in wake_up:
        return []
    masters = math.ceil(MESSAGES * batches / 1e6 / BUSY)
    cells = math.ceil(masters / CELL)
    found = [
        Step("Redis, workers that are busy", f"{MESSAGES:,} x {batches:.1f} µs", MESSAGES * batches / 1e6, "CPUs"),
        Step("masters", f"each busy for {BUSY:.0%}", masters, ""),
        Step("clients, without the consumers", f"{MESSAGES:,} x {client:.1f} µs", MESSAGES * client / 1e6, "CPUs"),
        Step("a pinned channel, at most", f"one Redis at {one_by_one:.1f} µs", 1e6 / one_by_one, "messages/s"),
        Step("the group with most members, at most", f"{GROUP:,} x {group:.1f} µs", GROUP * group / 1000, "ms"),
    ]
    layouts = (("one layer", masters, WORKERS), ("layers of four shards", CELL, WORKERS // cells))
    found.append(Step("layers of four shards", "a prefix each", cells, ""))
    for name, many, workers in layouts:
        delay, client_cpu, servers_cpu = (first + more * (many - 1) for first, more in filter(None, wake_up))
        found += [
            Step(f"{name}: shards", "one on each master", many, ""),
            Step(f"{name}: connections of a worker", "waiting, and one for each master", 2 * many, ""),
            Step(f"{name}: connections of a master", f"{workers:,} workers x 2", 2 * workers, ""),
            Step(f"{name}: a waiting worker has its message after", "measured", delay, "ms"),
            Step(f"{name}: client CPU, if each message wakes a worker", "", MESSAGES * client_cpu / 1e6, "CPUs"),
            Step(f"{name}: Redis CPU, if each message wakes a worker", "", MESSAGES * servers_cpu / 1e6, "CPUs"),
        ]
    return found


def _microseconds(figures: Figures, load: str, unit: str) -> float | None:
    """Return the CPU time of a message on three masters."""
    per_second = figures.median(Row(rates.TABLE, rates.LOADS[load], unit), f"{shards.MASTERS} masters")
    return None if per_second is None else 1e6 / per_second


def _line(figures: Figures, unit: str) -> tuple[float, float] | None:
    """Return a figure of a wake-up at one shard, and the mean growth with a shard more."""
    row, few, many = Row(shards.TABLE, shards.WAKE_UPS, unit), min(shards.SHARDS), max(shards.SHARDS)
    first, last = figures.median(row, shards.column_of(few)), figures.median(row, shards.column_of(many))
    return None if first is None or last is None else (first, (last - first) / (many - few))
