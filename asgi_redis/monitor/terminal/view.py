"""The state of the live view, and the keys that change it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from asgi_redis.monitor.snapshot import Row, Snapshot
from asgi_redis.monitor.summary import summary
from asgi_redis.monitor.tables import TABLES, Column, Line, Table, lines, shown_columns

HELP = "q quit  tab/1-5 table  s sort  r reverse  / filter  arrows, PgUp, PgDn scroll"
_FAR = 1 << 30  # lines


class Pane:
    """A table of the view: how it is sorted, and how far it is scrolled."""

    def __init__(self, table: Table) -> None:
        self.table = table
        self.offset = 0
        self._last_offset = 0
        self._sorted_by: str | None = None
        self._is_reversed = False
        self._columns: Sequence[Column] = table.columns

    def scroll(self, lines: int) -> None:
        """Scroll by a number of lines, as far as there are some."""
        self.offset = max(0, min(self.offset + lines, self._last_offset))

    def in_sight(self, lines: Sequence[Line], room: int) -> Sequence[Line]:
        """Return the lines that are in sight, of all lines of the rows."""
        self._last_offset = max(0, len(lines) - room)
        self.scroll(0)
        return lines[self.offset : self.offset + room]

    def sort_by_next(self) -> None:
        """Sort by the next column that is shown; after the last, as at first."""
        keys = [None, *(column.key for column in self._columns)]
        now = keys.index(self._sorted_by) if self._sorted_by in keys else 0
        self._sorted_by = keys[(now + 1) % len(keys)]

    def reverse(self) -> None:
        """Reverse the order."""
        self._is_reversed = not self._is_reversed

    def lines(self, snapshot: Snapshot, matching: str, width: int) -> list[Line]:
        """Return the heading, and all lines of the rows with the text ``matching``."""
        table = self.table
        rows = [row for row in table.rows(snapshot) if not matching or self._matches(row, matching.lower())]
        self._columns = shown_columns(table, rows, width)
        column = next((one for one in table.columns if one.key == self._sorted_by), None)
        if column is None:
            return lines(table, rows[::-1] if self._is_reversed else rows, width)
        downwards = column.is_text == self._is_reversed
        rows.sort(key=lambda row: _order(row, column), reverse=downwards)
        marked = column._replace(heading=f"{column.heading}{'↓' if downwards else '↑'}")
        columns = [marked if one is column else one for one in table.columns]
        return lines(table._replace(columns=columns), rows, width)

    def _matches(self, row: Row, text: str) -> bool:
        cells = [column.cell(row) for column in self.table.columns]
        return any(text in cell.lower() for cell in [*cells, *self.table.details(row)])


def _order(row: Row, column: Column) -> Any:
    value = row.get(column.key)
    if column.is_text:
        return "" if value is None else column.cell(row)
    return value if isinstance(value, (int, float)) else -1.0


class View:
    """The live view: its tables, of which one is shown, and the filter."""

    def __init__(self) -> None:
        self._panes = [Pane(table) for table in TABLES]
        self._shown = 0
        self._filter = ""
        self._is_typing = False
        self._room = 1  # lines of rows on the screen

    @property
    def pane(self) -> Pane:
        """The table that is shown."""
        return self._panes[self._shown]

    def press(self, key: str) -> bool:
        """Act on a key; return False where it ends the view."""
        if self._is_typing:
            self._type(key)
        elif key in ("q", "Q"):
            return False
        elif key in ("tab", "back tab"):
            self._shown = (self._shown + (1 if key == "tab" else -1)) % len(self._panes)
        elif key.isdecimal() and 1 <= int(key) <= len(self._panes):
            self._shown = int(key) - 1
        else:
            self._act(key)
        return True

    def _act(self, key: str) -> None:
        pane = self.pane
        steps = {"up": -1, "down": 1, "page up": -self._room, "page down": self._room, "home": -_FAR, "end": _FAR}
        if key == "s":
            pane.sort_by_next()
        elif key == "r":
            pane.reverse()
        elif key == "/":
            self._is_typing = True
        elif key == "escape":
            self._filter = ""
        else:
            pane.scroll(steps.get(key, 0))

    def _type(self, key: str) -> None:
        if key == "enter":
            self._is_typing = False
        elif key == "escape":
            self._is_typing, self._filter = False, ""
        elif key == "backspace":
            self._filter = self._filter[:-1]
        elif len(key) == 1 and key.isprintable():
            self._filter += key

    def header(self, snapshot: Snapshot, width: int) -> list[str]:
        """Return the lines above the tables."""
        return summary(snapshot, width)

    def tabs(self, snapshot: Snapshot) -> list[tuple[str, bool]]:
        """Return the title of each table, and whether it is shown."""
        return [
            (f"{number} {pane.table.title} {len(pane.table.rows(snapshot))}", pane is self.pane)
            for number, pane in enumerate(self._panes, 1)
        ]

    def body(self, snapshot: Snapshot, width: int, room: int) -> list[Line]:
        """Return the heading, and the lines of the table that are in sight."""
        heading, *rest = self.pane.lines(snapshot, self._filter, width)
        self._room = max(1, room - 1)
        return [heading, *self.pane.in_sight(rest, self._room)]

    def footer(self) -> str:
        """Return the last line: the keys, or the filter."""
        if self._is_typing:
            return f"filter: {self._filter}_  (Enter keeps it, Esc drops it)"
        return f"filter: {self._filter}  (Esc drops it)  {HELP}" if self._filter else HELP
