"""A million messages a second and 10,000 workers, computed from what was measured."""

from __future__ import annotations

import math

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


def text(figures: Figures) -> str:
    """Return the plan; an empty text where there are no figures of rates and shards."""
    one_by_one, batches, group = (_microseconds(figures, load, rates.PER_SERVERS) for load in LOADS)
    client = _microseconds(figures, "batches", rates.PER_CLIENT)
    wake_up = [_line(figures, "p50, ms"), _line(figures, "client CPU, µs"), _line(figures, "servers' CPU, µs")]
    if one_by_one is None or batches is None or group is None or client is None or None in wake_up:
        return ""
    masters = math.ceil(MESSAGES * batches / 1e6 / BUSY)
    cells = math.ceil(masters / CELL)
    lines = [
        ["Redis, workers that are busy", f"{MESSAGES:,} x {batches:.1f} µs", f"{MESSAGES * batches / 1e6:.0f} CPUs"],
        ["masters", f"each busy for {BUSY:.0%}", f"{masters}"],
        ["clients, without the consumers", f"{MESSAGES:,} x {client:.1f} µs", f"{MESSAGES * client / 1e6:.0f} CPUs"],
        ["a pinned channel, at most", f"one Redis at {one_by_one:.1f} µs", f"{1e6 / one_by_one:,.0f} messages/s"],
        ["the group with most members, at most", f"{GROUP:,} x {group:.1f} µs", f"{GROUP * group / 1000:.0f} ms"],
    ]
    for name, number, workers in (
        ("one layer", masters, WORKERS),
        (f"{cells} layers, a prefix each", CELL, WORKERS // cells),
    ):
        delay, client_cpu, servers_cpu = (first + more * (number - 1) for first, more in filter(None, wake_up))
        lines += [
            [f"{name}: shards", "one on each master", f"{number}"],
            [f"{name}: connections of a worker", "waiting, and one for each master", f"{2 * number}"],
            [f"{name}: connections of a master", f"{workers:,} workers x 2", f"{_clients(2 * workers)}"],
            [f"{name}: a waiting worker has its message", "measured", f"after {delay:.1f} ms"],
            [f"{name}: if each message wakes a worker", "client CPU", f"{MESSAGES * client_cpu / 1e6:,.0f} CPUs"],
            [f"{name}: if each message wakes a worker", "Redis CPU", f"{MESSAGES * servers_cpu / 1e6:,.0f} CPUs"],
        ]
    return "\n".join([TITLE, "-" * len(TITLE), "", simple_table(["", "by", ""], lines)])


def _microseconds(figures: Figures, load: str, unit: str) -> float | None:
    """Return the CPU time of a message on three masters."""
    per_second = figures.median(Row(rates.TABLE, rates.LOADS[load], unit), f"{shards.MASTERS} masters")
    return None if per_second is None else 1e6 / per_second


def _clients(number: int) -> str:
    return f"{number:,}, over maxclients {MAX_CLIENTS:,}" if number > MAX_CLIENTS else f"{number:,}"


def _line(figures: Figures, unit: str) -> tuple[float, float] | None:
    """Return a figure of a wake-up at one shard, and the mean growth with a shard more."""
    row, few, many = Row(shards.TABLE, shards.WAKE_UPS, unit), min(shards.SHARDS), max(shards.SHARDS)
    first, last = figures.median(row, shards.column_of(few)), figures.median(row, shards.column_of(many))
    return None if first is None or last is None else (first, (last - first) / (many - few))
