"""The calls of a monitor: they take a tenth of a server's time at most."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import TypeVar

from redis.exceptions import RedisError

from asgi_redis.exceptions import ChannelLayerError
from asgi_redis.process.time_limits import HANG_TIMEOUT_SECONDS, within

T = TypeVar("T")

CALL_ERRORS = (RedisError, ChannelLayerError, OSError)
"""The errors of a layer's calls."""

_REST_FACTOR = 9  # the rest after a call, in durations of the call
_LONGEST_PAUSE_SECONDS = 1.0  # a call that takes more than a ninth of it waits rather than works
_CALL_SECONDS = 3.0  # that a call may take: those of a layer wait for 20


class BudgetedCalls:
    """
    Makes calls, each followed by a pause of nine times its duration.

    The pause comes before the next call, and ends when ``closing`` is set.
    """

    def __init__(self, closing: threading.Event) -> None:
        self._closing = closing
        self._free_at = 0.0
        self._errors: dict[str, None] = {}
        self.hangs = False
        """Whether a server hangs: then no call is attempted until the errors are taken."""

    def make(self, call: Callable[[], T]) -> T:
        """Return ``call()``, a request to a server."""
        self._closing.wait(max(0.0, self._free_at - time.monotonic()))
        started = time.monotonic()
        try:
            return call()
        finally:
            ended = time.monotonic()
            self._free_at = ended + min(_REST_FACTOR * (ended - started), _LONGEST_PAUSE_SECONDS)

    def attempt(self, call: Callable[[], T], default: T) -> T:
        """
        Return ``call()``, or note its error and return ``default``.

        Where it takes too long, it goes on in a thread, and its result is dropped.
        """
        if self.hangs:
            return default
        started = time.monotonic()
        try:
            return self.make(lambda: within(_CALL_SECONDS, call, "a call of the monitor"))
        except CALL_ERRORS as error:
            self.note(error, started)
            return default

    def note(self, error: Exception, started: float) -> None:
        """Note an error of a call that was ``started`` at a time of the monotonic clock."""
        self._errors[str(error) or type(error).__name__] = None
        self.hangs = self.hangs or time.monotonic() - started >= HANG_TIMEOUT_SECONDS

    def take_errors(self) -> str:
        """Return the errors since the last time, each once, and forget them."""
        text = "; ".join(self._errors)
        self._errors.clear()
        self.hangs = False
        return text
