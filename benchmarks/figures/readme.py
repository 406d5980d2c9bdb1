"""The rows of figures in the README, between two comments."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Sequence
from typing import NamedTuple

from .published import TIMES, Published, Table, exact, rounded

_BLOCK = re.compile(r"(?<=^\.\. figures: begin\n).*?(?=^\.\. figures: end$)", re.MULTILINE | re.DOTALL)
_HEADS = ["", "asgi_redis", "best peer", "times"]


class Line(NamedTuple):
    """A row of the README: what it says, and where its values are."""

    text: str
    address: str  # of a row
    ours: str  # column
    peers: dict[str, str]  # the names that the README has for columns


def with_figures(text: str, lines: Sequence[Line], published: Published) -> str:
    """Return the text of a README with today's rows between the comments; without comments it stays as it is."""
    return _BLOCK.sub(lambda _: f"\n{_block(lines, published)}\n\n", text)


def _block(lines: Sequence[Line], published: Published) -> str:
    cells = [_HEADS, *(_cells(line, published) for line in lines)]
    widths = [max(map(len, column)) for column in zip(*cells)]
    rule = "  ".join("=" * max(1, width) for width in widths)
    head, *rows = ("  ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip() for row in cells)
    about = [f"``{table.command}``: {' '.join(table.about[:3])}" for table in _tables(lines, published)]
    return "\n".join([rule, head, rule, *rows, rule, "", "\n\n".join(textwrap.fill(one, 118) for one in about)])


def _tables(lines: Sequence[Line], published: Published) -> list[Table]:
    addresses = dict.fromkeys(line.address.rpartition("/")[0] for line in lines)
    return [published.table(address) for address in addresses]


def _cells(line: Line, published: Published) -> list[str]:
    table, _, name = line.address.rpartition("/")
    (row,) = published.table(table).rows([name])
    measured = {peer: value for peer in line.peers if isinstance(value := row.values[peer], (int, float))}
    best = (min if row.unit in ("µs", "ms") else max)(measured, key=measured.__getitem__)
    times = rounded(row.values[TIMES])
    return [line.text, exact(row.values[line.ours]), f"{exact(measured[best])}, {line.peers[best]}", times]
