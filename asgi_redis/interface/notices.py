"""The log of single connections: a line a minute at most for each kind of trouble."""

from __future__ import annotations

import logging
import threading
import time

from asgi_redis.process import fork

logger = logging.getLogger("asgi_redis")

INTERVAL_SECONDS = 60.0
_MAX_REASON = 500  # characters; a reason may show a reply of a consumer


class Notices:
    """
    Logs what happens to connections.

    Under load or in an outage the same happens to many. The first line says it of one of them, and the next, a minute
    later, of how many others it was true meanwhile.
    """

    def __init__(self) -> None:
        self.start_process()
        fork.register(self)

    def start_process(self) -> None:
        """Start without lines: they are the parent's."""
        self._lock = threading.Lock()
        self._lines: dict[str, tuple[float, int]] = {}  # the time of the last line, and the number since

    def add(self, event: str, path: str, reason: object) -> None:
        """Log an ``event``, such as "Refused a websocket", with its ``reason``."""
        now = time.monotonic()
        with self._lock:
            logged_at, unlogged = self._lines.get(event, (now - INTERVAL_SECONDS, 0))
            due = now - logged_at >= INTERVAL_SECONDS
            self._lines[event] = (now, 0) if due else (logged_at, unlogged + 1)
        if due:
            more = f" (and {unlogged} times since the last line)" if unlogged else ""
            text = f"{type(reason).__name__}: {reason}" if isinstance(reason, Exception) else str(reason)
            text = text if len(text) <= _MAX_REASON else f"{text[:_MAX_REASON]}…"
            logger.warning("%s to %r: %s%s", event, path, text, more)
