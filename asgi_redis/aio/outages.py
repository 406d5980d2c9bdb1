"""What an asynchronous layer does when an outage of Redis begins, and when it is over."""

from __future__ import annotations

import threading
from collections.abc import Sequence

from asgi_redis.aio.attendance import Attendance
from asgi_redis.aio.mailbox import Inbox
from asgi_redis.aio.memberships import Memberships


class Outages:
    """
    Tells the process-local channels of outages, by messages of these types, and has memberships put back.

    The message of the end comes when that has been tried: what is sent to the groups from then on is not missed.
    """

    def __init__(
        self,
        inbox: Inbox,
        attendance: Attendance,
        memberships: Sequence[Memberships],
        on_disconnect: str | None,
        on_reconnect: str | None,
    ) -> None:
        self._inbox = inbox
        self._attendance = attendance
        self._memberships = memberships
        self._on_disconnect = on_disconnect
        self._on_reconnect = on_reconnect

    def __call__(self, lasts: bool) -> None:
        """Takes note that an outage has begun, or is over."""
        if lasts:
            self._notify(self._on_disconnect)
            return
        left, lock = len(self._memberships), threading.Lock()

        def healed() -> None:
            nonlocal left
            with lock:
                left -= 1
                is_last = not left
            if is_last:
                self._notify(self._on_reconnect)

        for memberships in self._memberships:
            memberships.heal(healed)

    def _notify(self, kind: str | None) -> None:
        if kind is not None:
            self._inbox.notify(kind, self._attendance.channels())
