"""The tables, as text or as reStructuredText."""

from __future__ import annotations

from ..record import Line, Measured, heading
from ..samples import Samples
from ..table import number
from ..text import grid
from .subjects import OURS_BOTH, SUBJECTS, Subject
from .workloads import WORKLOADS, Aim, Workload


def report(results: Samples) -> str:
    """Return a table for each kind of workload, and the failures."""
    blocks = []
    for name in dict.fromkeys(workload.table for workload in WORKLOADS):
        workloads = [workload for workload in WORKLOADS if workload.table == name]
        lines = table(workloads, results)
        if lines:
            blocks.append(f"{name}\n\n{simple_table(lines)}")
    blocks += [f"Failed: {key}, {workload}: {error}" for (workload, key), error in results.errors.items()]
    return "\n\n".join(blocks)


def table(workloads: list[Workload], results: Samples) -> list[list[str]]:
    """Return the cells of a table: two lines of headings, and a line for each figure that there is."""
    subjects = [one for one in SUBJECTS if one in workloads[0].subjects]
    heads = [["", "", *(one.title.split("\n")[at] for one in subjects)] for at in (0, 1)]
    has_aims = any(workload.aims for workload in workloads)
    if has_aims:
        heads = [[*heads[0], "ours :", ""], [*heads[1], "peer", "aim"]]
    lines = []
    for workload in workloads:
        for figure, unit in workload.figures.items():
            values = {one: results.median(workload, one.key, figure) for one in subjects}
            if any(value is not None for value in values.values()):
                aims = [aim for aim in workload.aims if aim.figure == figure]
                last = _verdict(aims[0], values) if aims else ["", ""]
                lines.append([workload.name, unit, *map(number, values.values()), *(last if has_aims else [])])
    return [*heads, *lines] if lines else []


def measured_tables(workloads: list[Workload], results: Samples) -> dict[str, Measured]:
    """Return the tables of the results file: those that ``workloads`` has all workloads of."""
    tables = {}
    for name in dict.fromkeys(workload.table for workload in workloads):
        rows = [workload for workload in WORKLOADS if workload.table == name]
        if all(workload in workloads for workload in rows):
            subjects = [one for one in SUBJECTS if one in rows[0].subjects]
            lines = [
                Line.of(row.name, unit, [results.median(row, one.key, figure) for one in subjects])
                for row in rows
                for figure, unit in row.figures.items()
            ]
            tables[name] = Measured(name, [heading(one.title) for one in subjects], lines)
    return tables


def _verdict(aim: Aim, values: dict[Subject, float | None]) -> list[str]:
    ours = [value for one in OURS_BOTH if (value := values[one]) is not None]
    peers = [value for one in aim.peers if (value := values[one]) is not None]
    if not ours or (aim.peers and not peers):
        return ["-", str(aim)]
    if not aim.peers:
        return ["", f"{aim} {'yes' if min(ours) <= aim.factor else 'NO'}"]
    ratio = max(ours) / max(peers)
    return [f"{ratio:.2f}", f"{aim} {'yes' if ratio >= aim.factor else 'NO'}"]


def costs(results: Samples) -> str:
    """Return the CPU time of each process for a message, and the memory, of all that was measured."""
    lines = []
    for (workload, subject), samples in results.samples.items():
        parts = [figure for figure in samples if "," in figure]
        shown = [
            f"{figure.partition(', ')[2]} {number(sorted(samples[figure])[len(samples[figure]) // 2])}"
            for figure in parts
        ]
        lines.append([workload, subject, ", ".join(shown)])
    return grid(lines, left=(0, 1, 2)) if lines else ""


def simple_table(lines: list[list[str]]) -> str:
    """Return a "simple table" of reStructuredText, with two lines of headings."""
    rule = ["=" * max(map(len, column)) for column in zip(*lines)]
    # An empty first cell continues the row before, so a row says its name each time.
    return grid([rule, *lines[:2], rule, *lines[2:], rule], left=(0, 1, len(rule) - 1))
