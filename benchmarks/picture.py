"""The table as an SVG: a number in each cell, on a bar in proportion to its row."""

from __future__ import annotations

from html import escape

from .subjects import Subject
from .table import COLUMNS, Row, number

_TITLE, _UNIT, _CELL, _RATIO, _TARGET = 208, 66, 104, 66, 78  # widths
_LINE, _TOP, _EDGE, _GAP = 25, 86, 20, 8  # heights, and the space around
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
  .missed {{ fill: #b35900; }}
  .end {{ text-anchor: end; }}
  @media (prefers-color-scheme: dark) {{
    text {{ fill: #e6edf3; }}
    .card {{ fill: #161b22; stroke: #30363d; }}
    .soft {{ fill: #8b949e; }}
    .stripe {{ fill: #1c2129; }}
    .ours {{ fill: #1f7a5c; }}
    .peer {{ fill: #3a424c; }}
    .missed {{ fill: #e3a15a; }}
  }}
"""


class Picture:
    """Draws the rows; ``str`` of it is the file."""

    def __init__(self, table: list[Row], title: str, notes: list[str]) -> None:
        self._parts: list[str] = []
        self._width = 2 * _EDGE + _TITLE + _UNIT + _CELL * len(COLUMNS) + _RATIO + _TARGET
        self._height = _TOP + _LINE * len(table) + 16 + 16 * len(notes) + _EDGE - 8
        self._text(_EDGE, 32, title, "title")
        self._heads()
        for at, row in enumerate(table):
            self._row(_TOP + at * _LINE, row, striped=at % 2 == 0)
        for at, note in enumerate(notes):
            self._text(_EDGE, _TOP + _LINE * len(table) + 24 + 16 * at, note, "soft")

    def __str__(self) -> str:
        width, height = self._width, self._height
        size = f'width="{width}" height="{height}" viewBox="0 0 {width} {height}"'
        card = f'<rect class="card" x="0.5" y="0.5" width="{width - 1}" height="{height - 1}" rx="8"/>'
        parts = [f"<style>{_STYLE}</style>", card, *self._parts, "</svg>"]
        return "\n".join([f'<svg xmlns="http://www.w3.org/2000/svg" {size}>', *parts, ""])

    def _heads(self) -> None:
        for at, subject in enumerate(COLUMNS):
            top, _, bottom = subject.short.partition("\n")
            weight = "end strong" if subject.kind == "ours" else "end"
            self._text(_column(at) + _CELL - _GAP, _TOP - 26, top, weight)
            self._text(_column(at) + _CELL - _GAP, _TOP - 11, bottom, "end soft")
        after = _column(len(COLUMNS))
        self._text(after + _RATIO - _GAP, _TOP - 26, "ours :", "end strong")
        self._text(after + _RATIO - _GAP, _TOP - 11, "best peer", "end soft")
        self._text(after + _RATIO + _TARGET - _GAP, _TOP - 11, "target", "end soft")

    def _row(self, top: int, row: Row, striped: bool) -> None:
        if striped:
            width = self._width - 2 * _EDGE + 12
            self._parts.append(f'<rect class="stripe" x="{_EDGE - 6}" y="{top}" width="{width}" height="{_LINE}"/>')
        base = top + 17
        self._text(_EDGE, base, row.title)
        self._text(_EDGE + _TITLE, base, row.unit, "soft")
        most = max((value for value in row.values.values() if value is not None), default=0) or 1
        for at, subject in enumerate(COLUMNS):
            self._cell(_column(at), top, subject, row.values[subject.key], most)
        after = _column(len(COLUMNS))
        self._text(after + _RATIO - _GAP, base, number(row.ratio), "end strong")
        if row.verdicts:
            missed = not row.verdicts[0].reached  # that of the ratio before it
            goal = row.verdicts[0].text.rsplit(" ", 1)[0]
            text = f"{goal} {'✗' if missed else '✓'}"
            self._text(after + _RATIO + _TARGET - _GAP, base, text, "end missed" if missed else "end soft")

    def _cell(self, left: int, top: int, subject: Subject, value: float | None, most: float) -> None:
        if value is not None:
            width = (_CELL - _GAP) * value / most
            kind = "ours" if subject.kind == "ours" else "peer"
            # From the right, as the numbers are, so that a short bar lies under its number.
            x, height = left + _CELL - width - _GAP / 2, _LINE - 8
            place = f'x="{x:.1f}" y="{top + 4}" width="{width:.1f}" height="{height}"'
            self._parts.append(f'<rect class="{kind}" {place} rx="2"/>')
        weight = "end strong" if subject.kind == "ours" else "end"
        self._text(left + _CELL - _GAP, top + 17, number(value), weight)

    def _text(self, x: float, y: float, text: str, kind: str = "") -> None:
        self._parts.append(f'<text x="{x}" y="{y}" class="{kind}">{escape(text)}</text>')


def _column(at: int) -> int:
    return _EDGE + _TITLE + _UNIT + _CELL * at
