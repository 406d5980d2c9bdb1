"""A table as an SVG: a number in each cell, on a bar in proportion to the largest of its row."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from html import escape

from .published import TIMES, Row, Table, exact, rounded

_TITLE, _UNIT, _CELL, _TIMES = 226, 116, 106, 78  # widths
_LINE, _TOP, _EDGE, _GAP = 25, 86, 20, 8  # heights, and the space around
_NOTE_CHARACTER = 7  # the width of one
_FONT = "-apple-system, 'Segoe UI', 'Helvetica Neue', 'DejaVu Sans', Arial, sans-serif"
# A card with its own background, so that it can be read on any page; dark where the reader prefers dark.
_STYLE = f"""
  text {{ font: 12px {_FONT}; fill: #24292f; }}
  .card {{ fill: #ffffff; stroke: #d0d7de; }}
  .title {{ font-size: 15px; font-weight: 600; }}
  .soft {{ fill: #6e7781; font-size: 11px; }}
  .strong {{ font-weight: 600; }}
  .stripe {{ fill: #f6f8fa; }}
  .ours {{ fill: #7fcdb1; }}
  .peer {{ fill: #d8dee4; }}
  .less {{ fill: #b35900; }}
  .end {{ text-anchor: end; }}
  @media (prefers-color-scheme: dark) {{
    text {{ fill: #e6edf3; }}
    .card {{ fill: #161b22; stroke: #30363d; }}
    .soft {{ fill: #8b949e; }}
    .stripe {{ fill: #1c2129; }}
    .ours {{ fill: #1f7a5c; }}
    .peer {{ fill: #3a424c; }}
    .less {{ fill: #e3a15a; }}
  }}
"""


class Picture:
    """Draws rows of a table, with the columns of this package in green; ``str`` of it is the file."""

    def __init__(
        self, table: Table, title: str, ours: Sequence[str], peers: Sequence[str], rows: Sequence[str] = ()
    ) -> None:
        self._ours, self._columns = ours, table.chosen([*ours, *peers])
        self._parts: list[str] = []
        self._after = _EDGE + _TITLE + _UNIT + _CELL * len(self._columns)
        self._width = self._after + _TIMES + _EDGE
        drawn = table.rows(rows)
        bottom = _TOP + _LINE * len(drawn)
        notes = [line for note in table.about for line in textwrap.wrap(note, self._width // _NOTE_CHARACTER)]
        self._height = bottom + 16 + 16 * len(notes) + _EDGE - 8
        self._text(_EDGE, 32, title, "title")
        self._heads()
        for at, row in enumerate(drawn):
            self._row(_TOP + at * _LINE, row, striped=at % 2 == 0)
        for at, note in enumerate(notes):
            self._text(_EDGE, bottom + 24 + 16 * at, note, "soft")

    def __str__(self) -> str:
        width, height = self._width, self._height
        size = f'width="{width}" height="{height}" viewBox="0 0 {width} {height}"'
        card = f'<rect class="card" x="0.5" y="0.5" width="{width - 1}" height="{height - 1}" rx="8"/>'
        parts = [f"<style>{_STYLE}</style>", card, *self._parts, "</svg>"]
        return "\n".join([f'<svg xmlns="http://www.w3.org/2000/svg" {size}>', *parts, ""])

    def _heads(self) -> None:
        for at, name in enumerate(self._columns):
            top, bottom = _halves(name)
            weight = "end strong" if name in self._ours else "end"
            self._text(_right(at), _TOP - 26, top, weight)
            self._text(_right(at), _TOP - 11, bottom, "end soft")
        self._text(self._after + _TIMES - _GAP, _TOP - 26, "times the", "end strong")
        self._text(self._after + _TIMES - _GAP, _TOP - 11, "best peer", "end soft")

    def _row(self, top: int, row: Row, striped: bool) -> None:
        if striped:
            width = self._width - 2 * _EDGE + 12
            self._parts.append(f'<rect class="stripe" x="{_EDGE - 6}" y="{top}" width="{width}" height="{_LINE}"/>')
        base = top + 17
        self._text(_EDGE, base, row.name)
        self._text(_EDGE + _TITLE, base, row.unit, "soft")
        values = {name: row.values[name] for name in self._columns}
        most = max((value for value in values.values() if isinstance(value, (int, float))), default=0) or 1
        for at, (name, value) in enumerate(values.items()):
            if isinstance(value, (int, float)):
                self._bar(at, top, "ours" if name in self._ours else "peer", value / most)
            self._text(_right(at), base, exact(value), "end strong" if name in self._ours else "end")
        times = row.values[TIMES]
        if isinstance(times, (int, float)):
            kind = "end less" if times < 1 else "end strong"
            self._text(self._after + _TIMES - _GAP, base, rounded(times), kind)

    def _bar(self, at: int, top: int, kind: str, share: float) -> None:
        # From the right, as the numbers are, so that a short bar lies under its number.
        width = (_CELL - _GAP) * share
        place = f'x="{_right(at) + _GAP / 2 - width:.1f}" y="{top + 4}" width="{width:.1f}" height="{_LINE - 8}"'
        self._parts.append(f'<rect class="{kind}" {place} rx="2"/>')

    def _text(self, x: float, y: float, text: str, kind: str = "") -> None:
        self._parts.append(f'<text x="{x}" y="{y}" class="{kind}">{escape(text)}</text>')


def _right(at: int) -> int:
    return _EDGE + _TITLE + _UNIT + _CELL * (at + 1) - _GAP


def _halves(name: str) -> tuple[str, str]:
    """Return a heading as two lines, the first of which is the name of the package and its version."""
    words = name.split()
    first = 2 if len(words) > 2 and words[1][0].isdigit() else 1
    return " ".join(words[:first]), " ".join(words[first:])
