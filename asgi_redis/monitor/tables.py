"""The tables of a snapshot as lines of text, for a terminal of any width."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

from asgi_redis.monitor.cells import count, duration, latency, listed, plain, printable, rate, size, size_limit
from asgi_redis.monitor.snapshot import Row, Snapshot

GAP = "  "
_NARROWEST = 12  # characters of a name that is cut
_LONGEST = 1000  # characters of a cell, however wide the terminal is
UNKNOWN = "-"


class Column(NamedTuple):
    """
    A column of a table.

    ``important`` columns stay where the terminal is too narrow for all, and ``elastic`` ones are cut.
    """

    key: str
    heading: str
    text: Callable[[Any], str] = count
    important: bool = False
    elastic: bool = False

    def cell(self, row: Row) -> str:
        """Return the text of a cell, in characters that a terminal shows."""
        value = row.get(self.key)
        try:
            text = UNKNOWN if value is None else self.text(value)
        except (TypeError, ValueError):  # the report of a process of another version
            text = str(value)
        return shown_text(text)

    @property
    def is_text(self) -> bool:
        """Whether it is aligned on the left."""
        return self.text in (plain, listed)


def shown_text(text: str) -> str:
    """Return text in characters that a terminal shows, cut where it is very long."""
    return printable(text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…")


def _name(key: str, heading: str) -> Column:
    return Column(key, heading, plain, important=True, elastic=True)


class Table(NamedTuple):
    """A table of a snapshot: its title, its columns, and how its rows are found."""

    title: str
    columns: Sequence[Column]
    rows: Callable[[Snapshot], list[Row]]
    details: Callable[[Row], list[str]] = lambda row: []


def _running(row: Row) -> list[str]:
    consumers = row.get("running")
    if not isinstance(consumers, list):
        return []
    return [
        f"    {duration(one['seconds'])} {one['channel']} {one['consumer']}"
        for one in consumers
        if isinstance(one, dict) and _is_number(one.get("seconds")) and {"channel", "consumer"} <= one.keys()
    ]


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float))


def process_rows(processes: Iterable[Row], now: float) -> list[Row]:
    """Return the rows of processes, which say how long they have been up."""
    return [{**row, "up": now - row["started"] if _is_number(row.get("started")) else None} for row in processes]


def server_rows(servers: Iterable[Row]) -> list[Row]:
    """Return the rows of servers, without numbers where there was no answer."""
    return [{"name": row["name"], "error": row["error"]} if row["error"] else row for row in servers]


CHANNELS = Table(
    "Channels",
    (
        _name("channel", "CHANNEL"),
        Column("waiting", "WAITING", important=True),
        Column("oldest", "OLDEST", duration, important=True),
        Column("in_per_second", "IN/S", rate, important=True),
        Column("out_per_second", "OUT/S", rate, important=True),
        Column("messages_expired", "EXPIRED"),
        Column("channel_full_count", "REFUSED"),
        Column("readers", "READERS"),
        Column("capacity", "CAPACITY"),
        Column("messages_undecodable", "UNDECODABLE"),
        Column("messages_requeued", "REQUEUED"),
        Column("messages_retried", "RETRIED"),
        Column("marks", "MARKS", listed, important=True, elastic=True),
    ),
    lambda snapshot: snapshot["channels"],
)
GROUPS = Table(
    "Groups",
    (
        _name("group", "GROUP"),
        Column("members", "MEMBERS", important=True),
        Column("processes", "PROCESSES", important=True),
    ),
    lambda snapshot: snapshot["groups"],
)
WORKERS = Table(
    "Workers",
    (
        _name("process", "PROCESS"),
        Column("role", "ROLE", plain),
        Column("age", "SEEN", duration),
        Column("up", "UP", duration),
        Column("busy", "BUSY", important=True),
        Column("slots", "SLOTS", important=True),
        Column("done", "DONE", important=True),
        Column("failed", "FAILED", important=True),
        Column("retried", "RETRIED"),
        Column("sockets", "SOCKETS"),
        Column("requests", "REQUESTS"),
        Column("pulled", "PULLED", duration),
        Column("version", "VERSION", plain),
        Column("channels", "CHANNELS", listed, elastic=True),
    ),
    lambda snapshot: process_rows(snapshot["processes"], snapshot["time"]),
    _running,
)
DELAYED = Table(
    "Delayed",
    (_name("channel", "CHANNEL"), Column("due", "DUE IN", duration, important=True)),
    lambda snapshot: snapshot["delayed"]["first"],
)
SERVERS = Table(
    "Servers",
    (
        _name("name", "SERVER"),
        Column("latency", "LATENCY", latency, important=True),
        Column("role", "ROLE", plain, important=True),
        Column("used_memory", "MEMORY", size, important=True),
        Column("max_memory", "LIMIT", size_limit),
        Column("clients", "CLIENTS"),
        Column("blocked_clients", "BLOCKED"),
        Column("commands_per_second", "COMMANDS/S"),
        Column("version", "VERSION", plain),
        Column("error", "ERROR", plain, important=True, elastic=True),
    ),
    lambda snapshot: server_rows(snapshot["servers"]),
)
TABLES = (CHANNELS, GROUPS, WORKERS, DELAYED, SERVERS)


class Line(NamedTuple):
    """A line of a table, and the row that it belongs to; None for the heading."""

    text: str
    row: Row | None


def shown_columns(table: Table, rows: Sequence[Row], width: int | None = None) -> list[Column]:
    """Return the columns that have values and fit, and the important ones."""
    used = [
        column
        for column in table.columns
        if column.important or any(row.get(column.key) not in (None, [], "") for row in rows)
    ]
    return _fitting(used, rows, width)


def lines(table: Table, rows: Sequence[Row], width: int | None = None) -> list[Line]:
    """
    Return the heading and the rows of a table.

    Where ``width`` is too small, columns that are not important are left out, and names are cut.
    """
    columns = shown_columns(table, rows, width)
    widths = [_width_of(column, rows) for column in columns]
    if width is not None:
        widths = _cut(columns, widths, width)
    made = [Line(_joined([one.heading for one in columns], columns, widths), None)]
    for row in rows:
        made.append(Line(_joined([one.cell(row) for one in columns], columns, widths), row))
        made += [Line(shown_text(detail)[:width], row) for detail in table.details(row)]
    return made


def _fitting(columns: Sequence[Column], rows: Sequence[Row], width: int | None) -> list[Column]:
    """
    Return the columns that fit.

    The last unimportant ones go first, then the last of the others, but for names and marks.
    """
    left = list(columns)
    for narrowest, dispensable in (
        (2 * _NARROWEST, [column for column in columns if not column.important]),
        (_NARROWEST, [column for column in columns if column.important and not column.elastic]),
    ):
        while width is not None and dispensable and _least_width(left, rows, narrowest) > width:
            left.remove(dispensable.pop())
    return left


def _least_width(columns: Sequence[Column], rows: Sequence[Row], narrowest: int) -> int:
    """Return the width of a table whose elastic columns have ``narrowest`` characters."""
    widths = (_width_of(one, rows) for one in columns)
    least = [min(wide, narrowest) if one.elastic else wide for one, wide in zip(columns, widths)]
    return sum(least) + len(GAP) * (len(least) - 1)


def _cut(columns: Sequence[Column], widths: Sequence[int], width: int) -> list[int]:
    """Return the widths with elastic columns cut, the widest first."""
    left = list(widths)
    for _ in range(sum(left)):
        wide = [position for position, one in enumerate(columns) if one.elastic and left[position] > _NARROWEST]
        if not wide or sum(left) + len(GAP) * (len(left) - 1) <= width:
            break
        left[max(wide, key=left.__getitem__)] -= 1
    return left


def _width_of(column: Column, rows: Iterable[Row]) -> int:
    return max([len(column.heading), *(len(column.cell(row)) for row in rows)])


def _joined(texts: Sequence[str], columns: Sequence[Column], widths: Sequence[int]) -> str:
    cells = []
    for text, column, width in zip(texts, columns, widths):
        shown = text if len(text) <= width else f"{text[: width - 1]}…"
        cells.append(shown.ljust(width) if column.is_text else shown.rjust(width))
    return GAP.join(cells).rstrip()
