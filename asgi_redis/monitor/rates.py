"""How many messages go in and out a second, from two looks at the counters."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple


class Look(NamedTuple):
    """The counters of a channel or of a layer at a moment of the monotonic clock."""

    moment: float
    sent: int
    expired: int
    waiting: int
    oldest: float = 0.0

    @classmethod
    def at(cls, moment: float, counters: Mapping[str, Any], waiting: int) -> Look:
        """Return a look at counters of statistics, of which some layers have few."""
        sent, expired = counters["messages_count"], counters.get("messages_expired", 0)
        return cls(moment, sent, expired, waiting, counters.get("messages_max_age", 0.0))


class Rates(NamedTuple):
    """Messages a second that were sent, that were received, and that have expired."""

    incoming: float
    outgoing: float
    expired: float


def rates(before: Look | None, now: Look, expiry: float, readers: int | None = None) -> Rates | None:
    """
    Return the rates between two looks, or None without a look ``before``.

    Counters that have begun anew, as they do when Redis forgets them, count as 0.

    Args:
        before: The earlier look.
        now: The later look.
        expiry: The layer's setting.
        readers: The processes that read the channel; None where that is not known.
    """
    if before is None or now.moment <= before.moment:
        return None
    seconds = now.moment - before.moment
    sent = max(0, now.sent - before.sent)
    expired = max(0, now.expired - before.expired)
    gone = max(0, sent + before.waiting - now.waiting - expired)
    if before.waiting and before.oldest + seconds >= expiry and (readers == 0 or not now.waiting):
        # What no process reads expires uncounted until a sender needs the room, and at last goes with its queue.
        uncounted = gone if readers == 0 else min(gone, before.waiting)
        expired, gone = expired + uncounted, gone - uncounted
    return Rates(sent / seconds, gone / seconds, expired / seconds)
