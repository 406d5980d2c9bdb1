"""Attendance: which channels of this process are still received from."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from asgi_redis.process import fork

_BUSY_SECONDS = 3600.0  # that a consumer may work on one message


class _Presence:
    __slots__ = ("busy", "memberships", "seen_at")

    def __init__(self) -> None:
        self.memberships = 0
        self.seen_at = time.monotonic()
        self.busy = True


class Attendance:
    """
    The channels that are in groups, and when each was received from.

    The end of a channel is not announced. So a channel counts as received from while a ``receive`` waits, which
    ``waits`` tells. It also counts for an hour, or ``group_expiry`` seconds, before the first ``receive`` and after a
    ``receive`` has returned, as its consumer may be busy; and for ``grace`` seconds after a ``receive`` has ended in
    another way, such as by cancellation.
    """

    def __init__(self, waits: Callable[[str], bool], group_expiry: float, grace: float) -> None:
        self._waits = waits
        self._busy_seconds = min(_BUSY_SECONDS, group_expiry)
        self._grace_seconds = grace
        self.start_process()
        fork.register(self)

    def start_process(self) -> None:
        """Start empty: the memberships are the parent's."""
        # Reentrant: the garbage collector may end a coroutine anywhere, which then leaves its groups.
        self._lock = threading.RLock()
        self._present: dict[str, _Presence] = {}

    @property
    def lock(self) -> threading.RLock:
        """Guards the attendance and the memberships."""
        fork.check()
        return self._lock

    def joined(self, channel: str) -> None:
        """Note that a channel is in one more group."""
        self._present.setdefault(channel, _Presence()).memberships += 1

    def left_group(self, channel: str) -> None:
        """Note that a channel is in one group less."""
        presence = self._present[channel]
        presence.memberships -= 1
        if not presence.memberships:
            del self._present[channel]

    def note(self, channel: str, busy: bool) -> None:
        """
        Note that a ``receive`` has begun or ended. ``busy``: it has returned a message.

        Needs no lock, as the garbage collector may call it.
        """
        presence = self._present.get(channel)
        if presence is not None:
            presence.seen_at = time.monotonic()
            presence.busy = busy

    def is_present(self, channel: str) -> bool:
        """Whether a channel is received from."""
        if self._waits(channel):
            self.note(channel, busy=False)
            return True
        presence = self._present[channel]
        return time.monotonic() - presence.seen_at <= (self._busy_seconds if presence.busy else self._grace_seconds)

    def channels(self) -> list[str]:
        """Return the channels that are in groups."""
        return list(self._present)
