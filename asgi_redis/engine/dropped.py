"""Counts of dropped messages, and their log: at most one line a minute."""

from __future__ import annotations

import _thread  # gevent leaves its RLock as it is: hubs and native threads share the layer
import logging
import time
from collections import OrderedDict

from asgi_redis.process import fork

logger = logging.getLogger("asgi_redis")

LOG_INTERVAL_SECONDS = 60.0
"""The time between two lines about one channel; the second line has the number of messages since the first."""
FLOOD_SECONDS = 0.1
"""How long a receive that does not wait goes on behind messages that it has to drop."""
_CHANNELS = 1000  # whose latest line in the log is remembered


class DroppedMessages:
    """
    Counts the messages that one layer has dropped in this process.

    ``reason`` completes "Dropped a message on channel 'work' ...", where ``kind`` stands for "message". Each channel
    has at most one line in ``LOG_INTERVAL_SECONDS``.
    """

    def __init__(self, reason: str, kind: str = "message") -> None:
        self._reason = reason
        self._kind = kind
        self.start_process()
        fork.register(self)

    def start_process(self) -> None:
        """Count from 0 on: the messages that were dropped before are the parent's."""
        self.count = 0
        self._lock = _thread.RLock()
        self._lines: OrderedDict[object, tuple[float, int]] = OrderedDict()  # time of the last line, number since

    def add(self, channel: object, detail: object, number: int = 1) -> None:
        """Count messages that were dropped, and log them; ``detail`` ends the line."""
        with self._lock:
            self.count += number
            now = time.monotonic()
            logged_at, unlogged = self._lines.pop(channel, (now - LOG_INTERVAL_SECONDS, 0))
            number += unlogged
            due = now - logged_at >= LOG_INTERVAL_SECONDS
            self._lines[channel] = (now, 0) if due else (logged_at, number)
            if len(self._lines) > _CHANNELS:
                self._lines.popitem(last=False)
        if due:
            messages = f"a {self._kind}" if number == 1 else f"{number} {self._kind}s"
            where = "" if channel is None else f" on channel {channel!r}"
            logger.warning("Dropped %s%s %s: %s", messages, where, self._reason, detail)


class ExpiredMessages:
    """Counts the messages that one layer has found expired in this process."""

    def __init__(self) -> None:
        self._lock = _thread.RLock()
        self._unlogged = 0
        self._logged_at = -LOG_INTERVAL_SECONDS

    def add(self, channel: object, number: int) -> None:
        """Count messages on a channel that had expired, and log them."""
        with self._lock:
            self._unlogged += number
            now = time.monotonic()
            if now - self._logged_at < LOG_INTERVAL_SECONDS:
                return
            number, self._unlogged, self._logged_at = self._unlogged, 0, now
        logger.warning("Dropped expired messages: %d, the last on channel %r", number, channel)
