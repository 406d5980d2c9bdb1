"""The format of a snapshot, which JSON can express."""

from __future__ import annotations

from typing import Any, TypedDict

Row = dict[str, Any]
"""A line of a table, by the names of its columns."""


class DelayedPart(TypedDict):
    """The delayed messages; see ``engine.facts.DelayedFacts``."""

    messages: int
    waiting_for_room: int
    next_due: float | None
    first: list[Row]


class Snapshot(TypedDict):
    """
    A layer as it was at ``time``, in Unix seconds.

    ``complete`` says that a sweep has gone through all keys, and ``error`` why a part is missing or old. ``channels``
    and ``groups`` are the largest ones.
    """

    time: float
    layer: str
    expiry: float
    complete: bool
    error: str
    servers: list[Row]
    totals: Row
    channels: list[Row]
    groups: list[Row]
    delayed: DelayedPart
    processes: list[Row]
