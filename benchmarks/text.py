"""The table as plain text, and the costs of each call on both sides."""

from __future__ import annotations

from typing import Callable

from .samples import Samples
from .subjects import BY_KEY
from .table import COLUMNS, COSTS, FLOORS, OURS, Row, number, rows, total
from .workloads import RATE, Workload

Cells = list[str]


def report(workloads: list[Workload], results: Samples) -> str:
    """Return the text that is printed at the end."""
    blocks = [_main_table(rows(workloads, results))]
    floors = [_floor_lines(workload, results) for workload in workloads if workload.floors]
    blocks += filter(None, floors)
    for cost in COSTS:
        block = _cost_table(f"{cost.title} ({cost.source})", cost.figures, workloads, results)
        if block:
            blocks.append(block)
    if results.errors:
        blocks.append(_failures(results))
    return "\n\n".join(blocks)


def _failures(results: Samples) -> str:
    where: dict[tuple[str, str], list[str]] = {}
    for (name, subject), error in results.errors.items():
        where.setdefault((BY_KEY[subject].title, error), []).append(name)
    lines = [f"  {title}: {error}\n    in {'; '.join(names)}" for (title, error), names in where.items()]
    return "\n".join(["Failed", *lines])


def _main_table(table: list[Row]) -> str:
    heads = [("", "")] + [("", "")] + [_head(subject.short) for subject in COLUMNS]
    heads += [("ours :", "best peer"), ("", "target")]
    lines = [[top for top, _ in heads], [bottom for _, bottom in heads]]
    for row in table:
        values = [number(row.values[subject.key]) for subject in COLUMNS]
        verdicts = ", ".join(verdict.text for verdict in row.verdicts)
        lines.append([row.title, row.unit, *values, number(row.ratio), verdicts])
    return grid(lines, left=(0, 1, len(heads) - 1))


def _floor_lines(workload: Workload, results: Samples) -> str:
    """Return the lines of the floors, under their workload."""
    ours = results.median(workload, OURS, RATE)
    lines: list[Cells] = [
        [f"Floors of {workload.name}", "ops/s", "ours :", "client µs", "Redis µs", "round trips", "bytes"]
    ]
    for subject in FLOORS:
        rate = results.median(workload, subject.key, RATE)
        costs = [total(workload, subject.key, cost.figures, results) for cost in COSTS]
        ratio = ours / rate if ours is not None and rate else None
        lines.append(["  " + subject.title, number(rate), number(ratio), *map(number, costs)])
    return grid(lines, left=(0,)) if any(line[1] != "-" for line in lines[1:]) else ""


def _cost_table(title: str, figures: tuple[str, ...], workloads: list[Workload], results: Samples) -> str:
    lines: list[Cells] = []
    for workload in workloads:
        costs = [total(workload, subject.key, figures, results) for subject in COLUMNS]
        if any(cost is not None for cost in costs):
            lines.append(["  " + workload.name, *map(number, costs)])
    if not lines:
        return ""
    heads = [_head(subject.short) for subject in COLUMNS]
    return grid([["", *(top for top, _ in heads)], [title, *(bottom for _, bottom in heads)], *lines], left=(0,))


def _head(short: str) -> tuple[str, str]:
    top, _, bottom = short.partition("\n")
    return top, bottom


def grid(lines: list[Cells], left: tuple[int, ...]) -> str:
    widths = [max(map(len, column)) for column in zip(*lines)]
    pad: Callable[[int, str], str] = lambda at, cell: (  # noqa: E731  # used once, below
        cell.ljust(widths[at]) if at in left else cell.rjust(widths[at])
    )
    return "\n".join("  ".join(pad(at, cell) for at, cell in enumerate(line)).rstrip() for line in lines)
