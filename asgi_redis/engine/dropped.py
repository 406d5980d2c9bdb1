"""Counts dropped messages and logs them: at most one line a minute for each channel, with their number."""

from __future__ import annotations

import _thread  # whose RLock gevent leaves as it is: hubs and native threads share the layer
import logging
import time
from collections import OrderedDict

from asgi_redis.process import fork

logger = logging.getLogger("asgi_redis")

LOG_INTERVAL = 60.0
"""Seconds between two lines about one channel; the second has the number of messages since the first."""
FLOOD_SECONDS = 0.1
"""How long a receive that does not wait looks on behind messages that it has to drop."""
_CHANNELS = 1000  # of which is known when they were in the log


class DroppedMessages:
    """
    Counts the messages that one layer has dropped in this process.

    ``reason`` completes "Dropped a message on channel 'work' ...". Of each channel there is at most one line in
    ``LOG_INTERVAL`` seconds. ``kind`` is what a message is called in it.
    """

    def __init__(self, reason: str, kind: str = "message") -> None:
        self._reason = reason
        self._kind = kind
        self.start_process()
        fork.register(self)

    def start_process(self) -> None:
        """Counts from 0 on: what was dropped before is the parent's."""
        self.count = 0
        self._lock = _thread.RLock()
        self._lines: OrderedDict[object, tuple[float, int]] = OrderedDict()  # when the last was, and how many since

    def add(self, channel: object, detail: object, number: int = 1) -> None:
        """Notes that messages were dropped, on a channel if that is known. ``detail`` ends the line."""
        with self._lock:
            self.count += number
            now = time.monotonic()
            told, untold = self._lines.pop(channel, (now - LOG_INTERVAL, 0))
            number += untold
            due = now - told >= LOG_INTERVAL
            self._lines[channel] = (now, 0) if due else (told, number)
            if len(self._lines) > _CHANNELS:
                self._lines.popitem(last=False)
        if due:
            what = f"a {self._kind}" if number == 1 else f"{number} {self._kind}s"
            where = "" if channel is None else f" on channel {channel!r}"
            logger.warning("Dropped %s%s %s: %s", what, where, self._reason, detail)


class ExpiredMessages:
    """Counts the messages that one layer has found expired in this process; at most one line in ``LOG_INTERVAL``."""

    def __init__(self) -> None:
        self._lock = _thread.RLock()
        self._untold = 0
        self._told_at = -LOG_INTERVAL

    def add(self, channel: object, number: int) -> None:
        """Notes that messages on a channel had expired."""
        with self._lock:
            self._untold += number
            now = time.monotonic()
            if now - self._told_at < LOG_INTERVAL:
                return
            number, self._untold, self._told_at = self._untold, 0, now
        logger.warning("Dropped expired messages: %d, the last on channel %r", number, channel)
