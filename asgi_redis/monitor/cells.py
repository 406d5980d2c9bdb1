"""Numbers as people read them: the texts in the cells of tables."""

from __future__ import annotations

from typing import Any


def plain(value: Any) -> str:
    """Return text as it is."""
    return str(value)


def count(value: Any) -> str:
    """Return a whole number with commas."""
    return f"{value:,.0f}"


def rate(value: Any) -> str:
    """Return a number of messages a second."""
    return f"{value:,.1f}" if value < 1000 else f"{value:,.0f}"


def duration(value: Any) -> str:
    """Return seconds in a unit that people read."""
    seconds = abs(value)
    sign = "-" if value < 0 else ""
    for unit, length in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * length:
            return f"{sign}{seconds / length:.0f} {unit}"
    return f"{sign}{seconds:.1f} s" if seconds < 10 else f"{sign}{seconds:.0f} s"


def latency(value: Any) -> str:
    """Return seconds as milliseconds."""
    return f"{1000 * value:,.1f} ms"


def size(value: Any) -> str:
    """Return bytes in a unit that people read."""
    units = ["B", "kB", "MB", "GB", "TB"]
    while value >= 1000 and len(units) > 1:
        value /= 1000
        del units[0]
    return f"{value:.0f} {units[0]}" if units[0] == "B" or value >= 100 else f"{value:.1f} {units[0]}"


def size_limit(value: Any) -> str:
    """Return a limit in bytes, of which 0 is none."""
    return size(value) if value else "none"


def listed(value: Any) -> str:
    """Return texts with commas between."""
    return ", ".join(value)


def printable(text: str) -> str:
    """Return ``text`` without the characters that would control a terminal."""
    return "".join(character if character.isprintable() else "?" for character in text)
