"""An outage of Redis, in two lines of the log: one when it starts, one with its length when it is over."""

from __future__ import annotations

import logging
import random
import time

logger = logging.getLogger("asgi_redis")

FIRST_DELAY = 0.05
LONGEST_DELAY = 2.0


class Outage:
    """
    Told of each failure and success in turn, it knows how long to wait before the next attempt.

    ``place`` is what the log calls the server.
    """

    def __init__(self, place: object = "Redis") -> None:
        self._place = place
        self._since: float | None = None
        self._delay = FIRST_DELAY

    @property
    def lasts(self) -> bool:
        """Whether the last call failed."""
        return self._since is not None

    def failed(self, error: Exception) -> float:
        """Takes note of a failure; returns the seconds to wait, up to 2 and never twice the same."""
        if self._since is None:
            self._since = time.monotonic()
            self._delay = FIRST_DELAY
            # The text: handlers that keep records would keep what the error's traceback holds, readers among it.
            logger.warning(
                "%s does not serve messages (%s: %s); trying again", self._place, type(error).__name__, str(error)
            )
        else:
            self._delay = min(self._delay * 2, LONGEST_DELAY)
        # Spread out, so that the workers of a site do not all come back in the same moment.
        return self._delay * random.uniform(0.5, 1.0)

    def succeeded(self) -> None:
        """Takes note of a success."""
        since, self._since = self._since, None
        if since is not None:
            logger.warning("%s serves messages again after %.1f s", self._place, time.monotonic() - since)
