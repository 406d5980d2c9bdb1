"""Outages of Redis: the log, delays between attempts, and notices to channels."""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Callable

from asgi_redis.wire.message import Message

logger = logging.getLogger("asgi_redis")

FIRST_DELAY_SECONDS = 0.05
LONGEST_DELAY_SECONDS = 2.0


class Outage:
    """
    The current outage of a server, if any, and the delays between attempts.

    ``place`` is the name of the server in the log.
    """

    def __init__(self, place: object = "Redis") -> None:
        self._place = place
        self._since: float | None = None
        self._delay = FIRST_DELAY_SECONDS

    @property
    def lasts(self) -> bool:
        """Whether the last call failed."""
        return self._since is not None

    def failed(self, error: Exception) -> float:
        """Note a failure; return the seconds to wait, up to 2 and never twice the same."""
        if self._since is None:
            self._since = time.monotonic()
            self._delay = FIRST_DELAY_SECONDS
            # The text, not the error: handlers that keep records would keep the objects in its traceback.
            logger.warning(
                "%s does not serve messages (%s: %s); trying again", self._place, type(error).__name__, str(error)
            )
        else:
            self._delay = min(self._delay * 2, LONGEST_DELAY_SECONDS)
        # Random, so that the workers of a site do not all come back in the same moment.
        return self._delay * random.uniform(0.5, 1.0)

    def succeeded(self) -> None:
        """Note a success."""
        since, self._since = self._since, None
        if since is not None:
            logger.warning("%s serves messages again after %.1f s", self._place, time.monotonic() - since)


class OutageNotices:
    """
    Messages that tell channels when an outage begins, and when it is over.

    ``on_disconnect`` and ``on_reconnect`` are their types; None for no message. ``deliver`` gives a message to all
    channels.
    """

    def __init__(
        self, on_disconnect: str | None, on_reconnect: str | None, deliver: Callable[[Message], object]
    ) -> None:
        self._on_disconnect = on_disconnect
        self._on_reconnect = on_reconnect
        self._deliver = deliver

    def begin(self) -> None:
        """Tell the channels that an outage has begun."""
        if self._on_disconnect is not None:
            self._deliver({"type": self._on_disconnect})

    def end(self) -> None:
        """Tell the channels that the outage is over."""
        if self._on_reconnect is not None:
            self._deliver({"type": self._on_reconnect})
