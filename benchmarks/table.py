"""The rows of the table: medians, ratios to the best peer, and targets."""

from __future__ import annotations

from dataclasses import dataclass

from .results import Results
from .subjects import BY_KEY, SUBJECTS
from .workloads import IDLE, P50, P99, RATE, REDIS_CPU, Target, Workload

COLUMNS = tuple(subject for subject in SUBJECTS if subject.kind != "floor")
FLOORS = tuple(subject for subject in SUBJECTS if subject.kind == "floor")
UNITS = {RATE: "ops/s", P50: "p50, µs", P99: "p99, µs", IDLE: "CPU, ms/s"}
OURS = "ours"


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


def rows(workloads: list[Workload], results: Results) -> list[Row]:
    """Return the rows of the table."""
    return [_row(workload, figure, results) for workload in workloads for figure in workload.figures]


def _row(workload: Workload, figure: str, results: Results) -> Row:
    values = {subject.key: results.median(workload, subject.key, figure) for subject in COLUMNS}
    peers = [value for key, value in values.items() if BY_KEY[key].kind == "peer" and value is not None]
    less_is_better = figure != RATE
    best = (min(peers) if less_is_better else max(peers)) if peers else None
    targets = () if figure in (P99, IDLE) else workload.targets
    verdicts = [_verdict(target, workload, figure, best, results) for target in targets]
    return Row(workload.name, UNITS[figure], values, _ratio(values[OURS], best), tuple(filter(None, verdicts)))


def _ratio(ours: float | None, theirs: float | None) -> float | None:
    return ours / theirs if ours is not None and theirs else None


def _verdict(target: Target, workload: Workload, figure: str, best: float | None, results: Results) -> Verdict | None:
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


def number(value: float | None) -> str:
    """Return a number with three significant digits."""
    if value is None:
        return "-"
    digits = 0 if value >= 100 else 1 if value >= 10 else 2
    return f"{value:,.{digits}f}"
