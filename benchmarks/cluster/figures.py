"""Everything that was measured, sample by sample, and its tables."""

from __future__ import annotations

from collections.abc import Iterator
from statistics import median
from typing import Any, NamedTuple

from ..record import Line, Measured
from ..table import number
from ..text import grid


class Row(NamedTuple):
    """One row of one table; ``unit`` says what its figures are."""

    table: str
    name: str
    unit: str


class Figures:
    """The samples of each row, by column."""

    def __init__(self) -> None:
        self.samples: dict[Row, dict[str, list[float]]] = {}

    def add(self, row: Row, column: str, *values: float) -> None:
        """Add samples."""
        self.samples.setdefault(row, {}).setdefault(column, []).extend(values)

    def median(self, row: Row, column: str) -> float | None:
        """Return the median of a figure, or None where there are no samples."""
        values = self.samples.get(row, {}).get(column)
        return median(values) if values else None

    def tables(self) -> Iterator[str]:
        """Yield each table as a "simple table" of reStructuredText under its title."""
        for title in dict.fromkeys(row.table for row in self.samples):
            rows = {row: columns for row, columns in self.samples.items() if row.table == title}
            columns = list(dict.fromkeys(column for columns in rows.values() for column in columns))
            lines = [[row.name, row.unit, *(_cell(self.median(row, column)) for column in columns)] for row in rows]
            yield "\n".join([title, "-" * len(title), "", simple_table(["", "", *columns], lines)])

    def measured(self) -> dict[str, Measured]:
        """Return the tables for a results file, under their titles."""
        found = {}
        for title in dict.fromkeys(row.table for row in self.samples):
            rows = {row: columns for row, columns in self.samples.items() if row.table == title}
            columns = list(dict.fromkeys(column for columns in rows.values() for column in columns))
            lines = [Line.of(row.name, row.unit, [self.median(row, column) for column in columns]) for row in rows]
            found[title] = Measured(title, columns, lines)
        return found

    @classmethod
    def from_json(cls, measured: list[dict[str, Any]]) -> Figures:
        """Return the figures of a ``to_json``."""
        figures = cls()
        for one in measured:
            figures.add(Row(*one["row"]), one["column"], *one["samples"])
        return figures

    def to_json(self) -> list[dict[str, Any]]:
        """Every sample."""
        return [
            {"row": list(row), "column": column, "samples": values}
            for row, columns in self.samples.items()
            for column, values in columns.items()
        ]


def _cell(value: float | None) -> str:
    return f"{value:,}" if isinstance(value, int) else number(value)  # a count, or a measurement


def simple_table(heads: list[str], lines: list[list[str]]) -> str:
    """Return a "simple table" of reStructuredText, whose first two columns are text."""
    rule = ["=" * max(map(len, column)) for column in zip(heads, *lines)]
    return grid([rule, heads, rule, *lines, rule], left=(0, 1))
