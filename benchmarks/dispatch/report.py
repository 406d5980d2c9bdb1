"""The figures as plain text: one table for each pool."""

from __future__ import annotations

from collections.abc import Sequence

from ..record import Line, Measured, heading
from ..samples import Samples
from ..table import number
from ..text import grid
from .subjects import GEVENT, SUBJECTS, THREAD, Subject
from .workloads import LOAD, P50, P99, PER_CPU, RATE, UNITS, WORKLOADS, Target, Workload

_TITLES = {
    THREAD: "Thread pools, and those that run one message at a time",
    GEVENT: "gevent pools",
}
_LESS = (P50, P99)  # is better
_TABLES = {RATE: (RATE,), "messages for a CPU second": (PER_CPU,), "half load": (P50, P99, LOAD)}


def report(workloads: Sequence[Workload], subjects: Sequence[Subject], results: Samples) -> str:
    """Return the text that is printed at the end."""
    blocks = []
    for pool, title in _TITLES.items():
        columns = [subject for subject in subjects if subject.pool == pool]
        rows = [workload for workload in workloads if pool in workload.pools]
        if columns and rows:
            blocks.append(_table(title, rows, columns, results))
    if results.errors:
        lines = [f"  {_name(key)}, {workload}: {error}" for (workload, key), error in results.errors.items()]
        blocks.append("\n".join(["Failed", *lines]))
    return "\n\n".join(blocks)


def measured_tables(results: Samples) -> dict[str, Measured]:
    """Return the tables of the results file, a few for each pool."""
    tables = {}
    for pool in _TITLES:
        columns = [subject for subject in SUBJECTS if subject.pool == pool]
        heads = [*(heading(one.title) for one in columns), "times"]
        for name, figures in _TABLES.items():
            lines = []
            for row, figure in ((row, one) for row in WORKLOADS if pool in row.pools for one in figures):
                if figure in row.figures:
                    values = {subject: results.median(row, subject.key, figure) for subject in columns}
                    ratio = None if figure == LOAD else _ratio(values, figure)
                    times = 1 / ratio if ratio and figure in _LESS else ratio
                    lines.append(Line.of(row.name, UNITS[figure], [*values.values(), times]))
            tables[f"{pool}, {name}"] = Measured(f"{_TITLES[pool]}: {name}", heads, lines)
    return tables


def _table(title: str, rows: list[Workload], columns: list[Subject], results: Samples) -> str:
    heads = [subject.title.partition("\n") for subject in columns]
    lines = [
        ["", "", *(top for top, _, _ in heads), "ours :", ""],
        [title, "", *(bottom for _, _, bottom in heads), "best peer", "target"],
    ]
    # By figure first: rates next to rates.
    figures = list(dict.fromkeys(figure for row in rows for figure in row.figures))
    for figure in figures:
        lines += [_line(row, figure, columns, results) for row in rows if figure in row.figures]
    return grid(lines, left=(0, 1, len(lines[0]) - 1))


def _line(row: Workload, figure: str, columns: list[Subject], results: Samples) -> list[str]:
    values = {subject: results.median(row, subject.key, figure) for subject in columns}
    ours = next((value for subject, value in values.items() if subject.kind == "ours"), None)
    ratio = None if figure == LOAD else _ratio(values, figure)
    floor = next((value for subject, value in values.items() if subject.kind == "floor"), None)
    share = ours / floor if ours is not None and floor else None
    verdicts = [_verdict(target, ours, ratio, share) for target in row.targets if target.figure == figure]
    return [
        row.name,
        UNITS[figure],
        *(number(value) for value in values.values()),
        number(ratio),
        *(verdicts or [""]),
    ]


def _ratio(values: dict[Subject, float | None], figure: str) -> float | None:
    ours = next((value for subject, value in values.items() if subject.kind == "ours"), None)
    peers = [value for subject, value in values.items() if subject.kind == "peer" and value is not None]
    best = (min(peers) if figure in _LESS else max(peers)) if peers else None
    return ours / best if ours is not None and best else None


def _verdict(target: Target, ours: float | None, ratio: float | None, share: float | None) -> str:
    if target.share is not None:
        reached = share is not None and share >= target.share
        return "" if share is None else f"{share:.0%} of {target.share:.0%} {'yes' if reached else 'NO'}"
    figure, wanted = (ratio, target.factor) if target.value is None else (ours, target.value)
    if figure is None or wanted is None:
        return ""
    less = target.figure in _LESS
    reached = figure <= wanted if less else figure >= wanted
    shown = f"{wanted:,g}" if target.value is None else f"{wanted:,.0f}"
    return f"{'≤' if less else '≥'} {shown} {'yes' if reached else 'NO'}"


def _name(key: str) -> str:
    return next(subject.title.replace("\n", " ") for subject in SUBJECTS if subject.key == key)
