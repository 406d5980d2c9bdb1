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
        """Return a look at counters of statistics."""
        sent, expired = counters["messages_count"], counters["messages_expired"]
        return cls(moment, sent, expired, waiting, counters.get("messages_max_age", 0.0))


class Rates(NamedTuple):
    """Messages a second that were sent, and received."""

    incoming: float
    outgoing: float


def rates(before: Look | None, now: Look, expiry: float) -> Rates | None:
    """
    Return the rates between two looks, or None without a look ``before``.

    Counters that have begun anew, as they do when Redis forgets them, count as 0.
    """
    if before is None or now.moment <= before.moment:
        return None
    seconds = now.moment - before.moment
    sent = max(0, now.sent - before.sent)
    expired = max(0, now.expired - before.expired)
    if not now.waiting and before.waiting and before.oldest + seconds >= expiry:
        # A queue that nothing was sent to for ``expiry`` seconds goes as a whole, uncounted.
        expired = max(expired, before.waiting)
    received = sent + before.waiting - now.waiting - expired
    return Rates(sent / seconds, max(0, received) / seconds)
