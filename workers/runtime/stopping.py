"""SIGTERM and SIGINT, recorded, and the end of a process whose main thread does not come to act on them."""

from __future__ import annotations

import atexit
import contextlib
import itertools
import logging
import os
import signal
import sys
import threading
import time
from types import FrameType
from typing import Any, Callable, NamedTuple, NoReturn

logger = logging.getLogger(__name__)

SIGNALS = (signal.SIGTERM, signal.SIGINT)
SAME_SIGNAL_SECONDS = 1.0
GRACE_SECONDS = 1.0
TICK_SECONDS = 0.05
REPORT_SECONDS = 1.0


class StopSignal(NamedTuple):
    """
    A signal, and when it came (``time.monotonic``).

    ``further`` is whether it is not the same one as the first, for a terminal and a process supervisor often both
    send it: whether it came ``SAME_SIGNAL_SECONDS`` later.
    """

    number: int
    at: float
    further: bool


class StopSignals:
    """
    While entered, each SIGTERM and SIGINT is passed to ``record``; then the old handlers are put back.

    ``record`` is called within the signal handler: it must take no lock that the main thread may hold.
    Outside the main thread Python allows no handlers, and entering does nothing. A process that is forked in the
    meantime has the handlers, too: there SIGTERM does what it does by default, and SIGINT, which a terminal sends to
    all, nothing.
    """

    def __init__(self, record: Callable[[StopSignal], None]) -> None:
        self._record = record
        self._previous: dict[signal.Signals, Any] = {}
        self._first_at: float | None = None
        self._process = os.getpid()

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
        if os.getpid() != self._process:
            if number == signal.SIGTERM:
                signal.signal(number, signal.SIG_DFL)
                signal.raise_signal(number)
            return
        now = time.monotonic()
        if self._first_at is None:
            self._first_at = now
        self._record(StopSignal(number, now, now - self._first_at >= SAME_SIGNAL_SECONDS))


class Watchdog:
    """
    Ends the process when it has not ended by itself ``GRACE_SECONDS`` after a deadline, or after an order to end.

    While entered, and in the main thread only. It watches from a native thread, for a greenlet that does not wait
    keeps all others from running, among them the one that acts on signals and deadlines. ``report`` is called in
    such a thread before the end, to log what matters; the process ends even if that does not return.
    """

    def __init__(self, report: Callable[[], None]) -> None:
        self._report = report
        self._entered = False
        self._deadline = 0.0
        self._late_code = 0
        self._ordered: int | None = None
        self._starts = itertools.count()

    def __enter__(self) -> Watchdog:
        self._entered = threading.current_thread() is threading.main_thread()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._entered = False

    def expect_end_by(self, deadline: float, code: int) -> None:
        """
        Sets the deadline (``time.monotonic``), and the exit code past it; only the first call counts.

        Like ``expect_end`` it takes no lock: both may be called within a signal handler.
        """
        if self._entered and next(self._starts) == 0:
            self._deadline, self._late_code = deadline, code
            _native("_thread", "start_new_thread")(self._watch, ())

    def expect_end(self, code: int) -> None:
        """Orders the end, with this exit code; to be called after ``expect_end_by``."""
        self._ordered = code

    def _watch(self) -> None:
        sleep = _native("time", "sleep")
        overdue = 0
        # Ticks, not seconds: after a pause of the whole process, the main thread has its chance before the end.
        while overdue * TICK_SECONDS < GRACE_SECONDS:
            sleep(TICK_SECONDS)
            if not self._entered:
                return
            if self._ordered is not None or time.monotonic() >= self._deadline:
                overdue += 1
        code = self._late_code if self._ordered is None else self._ordered
        _native("_thread", "start_new_thread")(self._end, (code,))
        # The log may be held up by a lock that the main thread has.
        sleep(REPORT_SECONDS)
        os._exit(code)

    def _end(self, code: int) -> None:
        logger.critical("Something holds the main thread: the process ends with exit code %d", code)
        self._report()
        end_process(code)


def end_process(code: int) -> NoReturn:
    """
    Ends the process at once, with its log and output written.

    The interpreter's own way out would stop the threads that still run at any point, with locks of the standard
    streams in their hands, and may then hang or abort.
    """
    try:
        logging.shutdown()
        flush_std_streams()
    finally:
        os._exit(code)


def flush_std_streams() -> None:
    """Flush stdout and stderr; a stream whose reader has gone is left alone."""
    for stream in (sys.stdout, sys.stderr):
        if stream is not None:
            with contextlib.suppress(OSError, ValueError):  # ValueError: it is closed
                stream.flush()


def watch_exit(deadline: float, code: int) -> None:
    """
    Ends the process with that exit code past ``deadline`` (``time.monotonic``), if it has not ended by itself.

    The interpreter waits on its way out, among others for what the threads of executors do. To be called in the main
    thread.
    """
    Watchdog(lambda: None).__enter__().expect_end_by(deadline, code)


def _native(module: str, name: str) -> Any:
    """Returns what gevent has patched, if it has, as it was."""
    monkey = sys.modules.get("gevent.monkey")
    return getattr(sys.modules[module], name) if monkey is None else monkey.get_original(module, name)


def ignore_repeated_signals(stopped_at: Callable[[], float | None], seconds: float) -> None:
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
