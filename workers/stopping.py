"""SIGTERM and SIGINT, recorded. What they mean is the worker's to say."""

from __future__ import annotations

import atexit
import os
import signal
import threading
import time
from types import FrameType
from typing import Any, Callable, NamedTuple

SIGNALS = (signal.SIGTERM, signal.SIGINT)


class StopSignal(NamedTuple):
    """A signal, and when it came (``time.monotonic``)."""

    number: int
    at: float


class StopSignals:
    """
    While entered, each SIGTERM and SIGINT is passed to ``record``; then the old handlers are put back.

    ``record`` is called within the signal handler: it must take no lock that the main thread may hold.
    Outside the main thread Python allows no handlers, and entering does nothing.
    """

    def __init__(self, record: Callable[[StopSignal], None]) -> None:
        self._record = record
        self._previous: dict[signal.Signals, Any] = {}

    def __enter__(self) -> StopSignals:
        if threading.current_thread() is threading.main_thread():
            for number in SIGNALS:
                self._previous[number] = signal.signal(number, self._handle)
        return self

    def __exit__(self, *exc_info: object) -> None:
        for number, handler in self._previous.items():
            # None stands for a handler that was not installed by Python; it cannot be put back.
            signal.signal(number, signal.SIG_DFL if handler is None else handler)
        self._previous.clear()

    def _handle(self, number: int, frame: FrameType | None) -> None:
        self._record(StopSignal(number, time.monotonic()))


def outlive_repeats(stopped_at: Callable[[], float | None], seconds: float) -> None:
    """
    Lets a process that is about to end do so, when the signal that it ends for comes again.

    ``stopped_at`` tells when it first came (``time.monotonic``), or None. A signal that comes later than
    ``seconds`` after that, or before, ends the process at once; during the interpreter's last steps, none
    does. To be called in the main thread, before whatever handles signals while the process works.
    """

    def handle(number: int, frame: FrameType | None) -> None:
        since = stopped_at()
        if since is None or time.monotonic() >= since + seconds:
            os._exit(128 + number)

    def ignore() -> None:
        # The interpreter replaces handlers, but not this, by the default actions before its end.
        for number in SIGNALS:
            signal.signal(number, signal.SIG_IGN)

    for number in SIGNALS:
        signal.signal(number, handle)
    atexit.register(ignore)
