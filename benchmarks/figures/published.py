"""
The results that README and docs show, read from ``benchmarks/results``.

Each benchmark keeps a file there. An address names one of its tables, ``ipc/rates``, or one of its values,
``ipc/rates/send, 1 task/asgi_redis``. Two columns with " : " between them are the ratio of their values.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple, Union

RESULTS = Path(__file__).parents[1] / "results"
Value = Union[float, int, str, None]  # a str is no measurement, and None was not measured
RATIO = " : "
TIMES = "times"  # the column that has how many times as good as its best peer ours is
_RATES = {"ops": "calls", "msg": "messages"}


class UnknownAddressError(LookupError):
    """An address that leads to nothing; the message has the names that there are."""


class Row(NamedTuple):
    """One row of a table."""

    name: str
    unit: str
    values: dict[str, Value]


class Table:
    """One table of a results file."""

    def __init__(self, address: str, written: dict[str, Any]) -> None:
        self.address = address
        self.title: str = written["title"]
        self.columns: list[str] = written["columns"]
        self._written = written
        self._rows = {row["name"]: self._row(row) for row in written["rows"]}

    def _row(self, row: dict[str, Any]) -> Row:
        unit = re.sub(r"^(.*)/s$", lambda match: f"{_RATES.get(match[1], match[1])} a second".strip(), row["unit"])
        return Row(row["name"], unit, dict(zip(self.columns, row["values"])))

    def rows(self, names: Sequence[str] = ()) -> list[Row]:
        """Return the rows with these names in this order, or all."""
        return [self._named(name, self._rows, "row") for name in names or self._rows]

    def chosen(self, columns: Sequence[str] = ()) -> list[str]:
        """Return these columns in this order, or all."""
        there = dict(zip(self.columns, self.columns))
        return [self._named(name, there, "column") for name in columns or there]

    def value(self, row: str, column: str) -> float | int | str:
        """Return a value, or the ratio of two columns."""
        (found,) = self.rows([row])
        values = [self._measured(row, name, found.values[name]) for name in self.chosen(column.split(RATIO))]
        if len(values) == 1:
            return values[0]
        numerator, denominator = values
        return float(numerator) / float(denominator)

    def _measured(self, row: str, column: str, value: Value) -> float | int | str:
        if value is None:
            raise UnknownAddressError(f"{self.address}/{row}/{column} was not measured")
        return value

    def _named(self, name: str, there: dict[str, Any], kind: str) -> Any:
        if name not in there:
            raise UnknownAddressError(f"{self.address} has no {kind} {name!r}; there are: {'; '.join(there)}")
        return there[name]

    @property
    def command(self) -> str:
        """The command that measures it again."""
        command: str = self._written["command"]
        return command

    @property
    def about(self) -> list[str]:
        """Sentences on date, method, machine and versions."""
        machine, versions = self._written["machine"], self._written["versions"]
        load = f"load average {machine['load_before']:.1f} before, {machine['load_after']:.1f} after"
        return [
            f"Measured on {self._written['date']}.",
            f"{self._written['method']}.",
            f"{machine['cpu']}, {machine['cpus']} CPUs, {machine['kernel']}; {load}.",
            ", ".join(f"{name} {version}" for name, version in versions.items()) + ".",
        ]


class Published:
    """All results files of a folder."""

    def __init__(self, folder: Path = RESULTS) -> None:
        self._folder = folder

    @cached_property
    def _tables(self) -> dict[str, Table]:
        return {table.address: table for path in sorted(self._folder.glob("*.json")) for table in _tables_of(path)}

    def __iter__(self) -> Iterator[Table]:
        return iter(self._tables.values())

    def table(self, address: str) -> Table:
        """Return the table with the address ``benchmark/table``."""
        if address not in self._tables:
            raise UnknownAddressError(f"no table {address!r}; there are: {'; '.join(self._tables)}")
        return self._tables[address]

    def value(self, address: str) -> float | int | str:
        """Return the value with the address ``benchmark/table/row/column``."""
        parts = address.split("/")
        if len(parts) != 4:
            raise UnknownAddressError(f"{address!r} is not benchmark/table/row/column")
        return self.table("/".join(parts[:2])).value(*parts[2:])


def _tables_of(path: Path) -> Iterator[Table]:
    for name, written in json.loads(path.read_text())["tables"].items():
        yield Table(f"{path.stem}/{name}", written)


def exact(value: Value) -> str:
    """Return a value for a table: three significant digits, a count as it is, a dash where there is none."""
    if value is None:
        return "-"
    if isinstance(value, str):
        return value
    return f"{value:,}" if isinstance(value, int) else f"{value:,.{max(0, _decimals(value, 3))}f}"


def rounded(value: Value) -> str:
    """Return a value for a sentence: two significant digits."""
    if not isinstance(value, (int, float)):
        return exact(value)
    decimals = _decimals(value, 2)
    text = f"{round(value, decimals):,.{max(0, decimals)}f}"
    return text.rstrip("0").rstrip(".") if decimals > 0 else text


def _decimals(value: float, digits: int) -> int:
    """Return to how many places after the point a number has so many significant digits."""
    return digits - 1 - math.floor(math.log10(abs(value))) if value else 0
