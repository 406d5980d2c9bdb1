"""The rows of the tables: medians, ratios to the best peer, targets, and the costs of a call."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from .record import Line, Measured, heading
from .samples import Samples
from .subjects import BY_KEY, SUBJECTS
from .workloads import IDLE, P50, P99, RATE, REDIS_CPU, Target, Workload

COLUMNS = tuple(subject for subject in SUBJECTS if subject.kind != "floor")
FLOORS = tuple(subject for subject in SUBJECTS if subject.kind == "floor")
UNITS = {RATE: "ops/s", P50: "p50, µs", P99: "p99, µs", IDLE: "CPU, ms/s"}
OURS = "ours"


class Cost(NamedTuple):
    """A cost of one call: the sum of some figures."""

    name: str
    title: str
    unit: str
    source: str
    figures: tuple[str, ...]


COSTS = (
    Cost("client CPU", "Client CPU, µs a call", "µs", "getrusage of the calling process", ("client_cpu",)),
    Cost("Redis CPU", "Redis CPU, µs a call", "µs", "INFO cpu", ("redis_cpu",)),
    Cost("round trips", "Round trips a call", "", "counted by a proxy", ("round_trips",)),
    Cost("bytes", "Bytes a call on the wire, both ways", "B", "counted by a proxy", ("bytes_out", "bytes_in")),
)


@dataclass(frozen=True)
class Verdict:
    """One target, and whether it is reached."""

    text: str
    reached: bool


@dataclass(frozen=True)
class Row:
    """One figure of one workload for all subjects."""

    title: str
    unit: str
    values: dict[str, float | None]  # by the subject's key
    ratio: float | None  # ours : best peer
    verdicts: tuple[Verdict, ...]


def rows(workloads: list[Workload], results: Samples) -> list[Row]:
    """Return the rows of the table."""
    return [_row(workload, figure, results) for workload in workloads for figure in workload.figures]


def _row(workload: Workload, figure: str, results: Samples) -> Row:
    values = {subject.key: results.median(workload, subject.key, figure) for subject in COLUMNS}
    peers = [value for key, value in values.items() if BY_KEY[key].kind == "peer" and value is not None]
    less_is_better = figure != RATE
    best = (min(peers) if less_is_better else max(peers)) if peers else None
    targets = () if figure in (P99, IDLE) else workload.targets
    verdicts = [_verdict(target, workload, figure, best, results) for target in targets]
    return Row(workload.name, UNITS[figure], values, _ratio(values[OURS], best), tuple(filter(None, verdicts)))


def _ratio(ours: float | None, theirs: float | None) -> float | None:
    return ours / theirs if ours is not None and theirs else None


def _verdict(target: Target, workload: Workload, figure: str, best: float | None, results: Samples) -> Verdict | None:
    figure = REDIS_CPU if target.of_redis else figure
    theirs = best if target.against == "best" else results.median(workload, target.against, figure)
    ratio = _ratio(results.median(workload, OURS, figure), theirs)
    if ratio is None:
        return None
    reached = ratio >= target.factor if figure == RATE else ratio <= target.factor
    text = f"{'≥' if figure == RATE else '≤'} {target.factor:g} {'yes' if reached else 'NO'}"
    if target.against != "best":
        subject = BY_KEY[target.against]
        name = subject.short.split()[-1] if subject.short else subject.title
        text = f"{'Redis CPU, ' if target.of_redis else ''}{name} x {number(ratio)} {text}"
    return Verdict(text, reached)


def total(workload: Workload, subject: str, figures: tuple[str, ...], results: Samples) -> float | None:
    """Return the sum of the medians of some figures, or None where one is missing."""
    parts = [results.median(workload, subject, figure) for figure in figures]
    return None if None in parts else sum(part for part in parts if part is not None)


def measured_tables(workloads: list[Workload], results: Samples) -> dict[str, Measured]:
    """Return the tables of the results file: calls, and what they and the floors of a send cost."""
    columns = [heading(subject.short) for subject in COLUMNS]
    lines = [
        Line.of(row.title, row.unit, [*row.values.values(), _times_as_fast(row)]) for row in rows(workloads, results)
    ]
    tables = {"calls": Measured("asgi_redis 2 beside its peers", [*columns, "times"], lines)}
    for cost in COSTS:
        lines = [
            Line(workload.name, cost.unit, [total(workload, one.key, cost.figures, results) for one in COLUMNS])
            for workload in workloads
        ]
        lines = [line for line in lines if any(value is not None for value in line.values)]
        tables[cost.name] = Measured(cost.title, columns, lines)
    subjects = [BY_KEY[OURS], *FLOORS]
    for workload in workloads:
        if workload.floors:
            lines = [Line("calls", UNITS[RATE], [results.median(workload, one.key, RATE) for one in subjects])]
            for cost in COSTS:
                costs = [total(workload, one.key, cost.figures, results) for one in subjects]
                lines.append(Line(cost.name, cost.unit, costs))
            heads = [columns[0], *(one.title for one in FLOORS)]
            tables[f"floors, {workload.name}"] = Measured(f"Floors of {workload.name}", heads, lines)
    return tables


def _times_as_fast(row: Row) -> float | None:
    return row.ratio if row.ratio is None or row.unit == UNITS[RATE] else 1 / row.ratio


def number(value: float | None) -> str:
    """Return a number with three significant digits."""
    if value is None:
        return "-"
    digits = 0 if value >= 100 else 1 if value >= 10 else 2
    return f"{value:,.{digits}f}"
