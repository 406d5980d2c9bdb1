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


class OutageLog:
    """
    The two lines in the log about an outage of a place.

    ``place`` is the name of a server or a cluster, and ``parts`` the number of its parts, which fail each for itself:
    the outage begins with the first that fails, and ends when all serve.
    """

    def __init__(self, place: object, parts: int = 1) -> None:
        self._place = place
        self._messages = "messages" if parts == 1 else "all messages"
        self._failing = 0
        self._since = 0.0

    def begin(self, error: Exception) -> None:
        """Note that a part has failed."""
        self._failing += 1
        if self._failing == 1:
            self._since = time.monotonic()
            # The text, not the error: handlers that keep records would keep the objects in its traceback.
            name, text = type(error).__name__, str(error)
            logger.warning("%s does not serve %s (%s: %s); trying again", self._place, self._messages, name, text)

    def end(self) -> None:
        """Note that a part serves again."""
        self._failing -= 1
        if not self._failing:
            passed = time.monotonic() - self._since
            logger.warning("%s serves %s again after %.1f s", self._place, self._messages, passed)


class Outage:
    """
    The current outage of a server, if any, and the delays between attempts.

    ``log`` is the name of the server in the log, or the log of the place that it is a part of.
    """

    lasts = False
    """Whether the last call failed."""
    _delay = FIRST_DELAY_SECONDS

    def __init__(self, log: object = "Redis") -> None:
        self._log = log if isinstance(log, OutageLog) else OutageLog(log)

    def failed(self, error: Exception) -> float:
        """Note a failure; return the seconds to wait, up to 2 and never twice the same."""
        if self.lasts:
            self._delay = min(self._delay * 2, LONGEST_DELAY_SECONDS)
        else:
            self.lasts = True
            self._delay = FIRST_DELAY_SECONDS
            self._log.begin(error)
        # Random, so that the workers of a site do not all come back in the same moment.
        return self._delay * random.uniform(0.5, 1.0)

    def succeeded(self) -> None:
        """Note a success."""
        if self.lasts:
            self.lasts = False
            self._log.end()


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
