"""The tables: what each step costs, by itself and beside the step before."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

from ..cluster.figures import simple_table
from ..record import Line, Measured
from ..table import number
from .bench import SLOW_MICROSECONDS
from .parts import Part

FASTER = 1.5  # a decade of work costs more by this factor: more than noise, and more than a logarithm
SLOW_MILLISECONDS = 10.0
_MEGABYTE = 1_000_000
_HEADS = ("figure", "step", "each, µs of CPU", "growth", "slowest command, ms", "Redis, MB", "client, MB")


class Sample(NamedTuple):
    """The measurement of a figure at one step."""

    part: str
    figure: str
    step: int
    measured: dict[str, Any]

    @property
    def each(self) -> float:
        """Microseconds of a unit of work."""
        microseconds: float = 1e6 * self.measured["seconds"] / self.measured["work"]
        return microseconds


def table(part: Part, samples: list[Sample]) -> str:
    """Return the table of a part, in reStructuredText; ``!`` marks what ``findings`` tells of."""
    lines = [_line(sample, _before(sample, samples)) for sample in samples]
    title = f"{part.title} ({part.unit})"
    return "\n".join([title, "-" * len(title), "", simple_table(list(_HEADS), lines)])


def measured_table(part: Part, samples: list[Sample]) -> Measured:
    """Return the table of a part for the results file, with the columns of the printed one."""
    lines = []
    for sample in [one for one in samples if one.part == part.title]:
        before, measured = _before(sample, samples), sample.measured
        growth = None if before is None else sample.each / before.each
        slowest = measured["slowest"] if measured["slowest"] * 1000 >= SLOW_MICROSECONDS else None
        memory = [measured[side] / _MEGABYTE for side in ("redis", "client")]
        lines.append(Line(f"{sample.figure}, {sample.step:,}", "", [sample.each, growth, slowest, *memory]))
    return Measured(f"{part.title} ({part.unit})", [*_HEADS[2:]], lines)


def findings(samples: list[Sample]) -> Iterator[str]:
    """Yield a line for each figure that grows faster than the work, and each command that blocks Redis for long."""
    for sample in samples:
        for what, value in _marked(sample, _before(sample, samples)).items():
            yield f"{sample.part}: {sample.figure}, {sample.step:,}: {what} {value}"


def _before(sample: Sample, samples: list[Sample]) -> Sample | None:
    smaller = [one for one in samples if one[:2] == sample[:2] and one.step < sample.step]
    return max(smaller, key=lambda one: one.step, default=None)


def _marked(sample: Sample, before: Sample | None) -> dict[str, str]:
    marked = {}
    if sample.measured["slowest"] > SLOW_MILLISECONDS:
        marked["slowest command"] = f"{number(sample.measured['slowest'])} ms"
    if before is not None:
        growth = sample.each / before.each
        if growth > FASTER:
            marked["growth"] = f"{number(growth)} x the time of a unit"
        for side in ("redis", "client"):
            memory, smaller = sample.measured[side], before.measured[side]
            times = memory / max(smaller, _MEGABYTE) / (sample.step / before.step)
            if times > FASTER:
                marked[side] = f"{number(times)} x the memory of a unit"
    return marked


def _line(sample: Sample, before: Sample | None) -> list[str]:
    marked, measured = _marked(sample, before), sample.measured
    growth = "" if before is None else f"{sample.each / before.each:.2f}"
    fast = measured["slowest"] * 1000 < SLOW_MICROSECONDS
    slowest = f"< {SLOW_MICROSECONDS / 1000:g}" if fast else number(measured["slowest"])
    cells = {
        "growth": growth,
        "slowest command": slowest,
        "redis": f"{measured['redis'] / _MEGABYTE:,.1f}",
        "client": f"{measured['client'] / _MEGABYTE:,.1f}",
    }
    shown = [f"! {cell}" if name in marked else cell for name, cell in cells.items()]
    return [sample.figure, f"{sample.step:,}", _microseconds(sample.each), *shown]


def _microseconds(each: float) -> str:
    return number(each) if each >= 1 else f"{each:.3g}"
