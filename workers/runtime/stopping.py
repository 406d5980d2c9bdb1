"""
The end of a process: exit codes, stop signals, the deadline, the way out.

``Shutdown`` is the one mechanism for a worker, for a supervisor of workers, and for a command that still waits for
its channel layer. The order of a stop is that of ``workers.worker``.
"""

from __future__ import annotations

import atexit
import contextlib
import itertools
import logging
import math
import os
import signal
import sys
import threading
import time
from collections.abc import Mapping
from enum import IntEnum
from types import FrameType
from typing import TYPE_CHECKING, Any, Callable, NoReturn

from asgi_redis.process import fork
from asgi_redis.process.patches import original

if TYPE_CHECKING:
    from typing_extensions import Self

logger = logging.getLogger(__name__)

SIGNALS = (signal.SIGTERM, signal.SIGINT)
# A terminal and a process supervisor often both send the signal. Within this time it is the same one.
SAME_SIGNAL_SECONDS = 1.0
GRACE_SECONDS = 1.0  # past the deadline, for the main thread to end the process itself
TICK_SECONDS = 0.05
REPORT_SECONDS = 1.0
EXIT_SECONDS = 5.0  # for the way out of the interpreter, at least


class ExitCode(IntEnum):
    """
    The exit code of a worker process, with its meaning.

    A process that is killed by a second signal ends with 128 and the signal's number: 143 for SIGTERM, 130 for
    SIGINT. Code 2 is that of ``argparse``.
    """

    meaning: str

    def __new__(cls, code: int, meaning: str) -> Self:
        """Make a member of a number and its meaning."""
        member = int.__new__(cls, code)
        member._value_ = code
        member.meaning = meaning
        return member

    CLEAN = 0, "stopped"
    CONFIGURATION = 1, "it cannot start with this configuration"
    USAGE = 2, "wrong flags"
    TIMED_OUT = 3, "consumers, or threads that they started, still ran at the end of --shutdown-timeout"
    FAILED = 4, "the worker itself has failed"
    UNREACHABLE = 5, "Redis, or one of its shards, did not answer a --burst"


class Shutdown:
    """
    Records stop signals, and enforces the deadline of a stop.

    It works while it is entered, in the main thread only; outside of it Python allows no handlers. The deadline is
    watched from a native thread, because a greenlet that does not yield keeps all others from running, also the main
    one, which acts on signals. Where the main thread has not ended ``GRACE_SECONDS`` after the deadline or after a
    second signal, the watching thread ends the process.

    In a process that is forked in the meantime, SIGTERM has its default effect, and SIGINT, which a terminal sends to
    the parent, too, has none.

    Attributes:
        began_at: When the stop began (``time.monotonic``), or None.
        signal: The number of the first signal, or None.
        second_signal: The number of a signal that came ``SAME_SIGNAL_SECONDS`` after the first or later, or None.
        ends_process: Whether the process ends with it. Then the handlers stay when it is left: the same signal again
            is ignored, any other ends the process at once.
        late_code: The exit code of a process that is ended past the deadline.

    Args:
        timeout: The seconds from the beginning of the stop to the deadline.
        wake: Called within the signal handler: it must take no lock that the main thread may hold.
        report: Called in another thread before the process is ended, to log what still runs.
    """

    def __init__(
        self, wake: Callable[[], object], timeout: float = math.inf, report: Callable[[], None] = lambda: None
    ) -> None:
        self.began_at: float | None = None
        self.signal: int | None = None
        self.second_signal: int | None = None
        self.ends_process = False
        self.late_code: int = ExitCode.TIMED_OUT
        self._wake = wake
        self.timeout = timeout
        self._report = report
        self._first_at = 0.0
        self._entered = self._leaving = False
        self._process = 0
        self._previous: dict[signal.Signals, Any] = {}
        self._deadline = 0.0
        self._overdue = 0
        self._watchers = itertools.count()
        fork.register(self)

    def start_process(self) -> None:
        """Give a forked process the default effect of SIGTERM."""
        if self._entered and signal.getsignal(signal.SIGTERM) == self._handle:
            # Python 3.13 and 3.14 call no handler here where another thread than the main one has forked.
            with contextlib.suppress(ValueError):  # a fork in C, which the handler notices
                signal.signal(signal.SIGTERM, signal.SIG_DFL)

    def __enter__(self) -> Shutdown:
        self.began_at = self.signal = self.second_signal = None
        self._process = os.getpid()
        self._entered = threading.current_thread() is threading.main_thread()
        if self._entered:
            for number in SIGNALS:
                self._previous[number] = signal.signal(number, self._handle)
            if self.ends_process:
                atexit.register(_ignore_signals)
        return self

    def __exit__(self, *exc_info: object) -> None:
        if self._entered and self.ends_process:
            self._leaving = True
            return
        self._entered = False
        for number, handler in self._previous.items():
            # None stands for a handler that was not installed by Python; it cannot be put back.
            signal.signal(number, signal.SIG_DFL if handler is None else handler)
        self._previous.clear()

    def begin(self, at: float | None = None) -> float:
        """
        Begin the stop, unless it has begun, and return its deadline.

        Takes no lock: it is called within signal handlers, too.
        """
        if self.began_at is None:
            self.began_at = time.monotonic() if at is None else at
        deadline = self.began_at + self.timeout
        self._watch_until(deadline)
        return deadline

    def leave(self, code: int, at_once: bool) -> int:
        """
        Leave the process with an exit code, after this was left with ``ends_process``.

        ``at_once``: end the process now. Otherwise return the code, for the main thread to leave the interpreter,
        which waits for the threads of executors among others: until the deadline, or ``EXIT_SECONDS``.
        """
        now = time.monotonic()
        self._report = lambda: None  # it has been logged
        self._overdue = 0
        if at_once:
            self.late_code = code
            self._watch_until(now)
            end_process(code)
        self.late_code = code or self.late_code
        self._watch_until(max((now if self.began_at is None else self.began_at) + self.timeout, now + EXIT_SECONDS))
        return code

    def _handle(self, number: int, frame: FrameType | None) -> None:
        now = time.monotonic()
        if os.getpid() != self._process:
            if number == signal.SIGTERM:
                signal.signal(number, signal.SIG_DFL)
                signal.raise_signal(number)
        elif self._leaving:
            if self.began_at is None or now >= self.began_at + SAME_SIGNAL_SECONDS:
                os._exit(128 + number)
        else:
            if self.signal is None:
                self.signal, self._first_at = number, now
            elif now >= self._first_at + SAME_SIGNAL_SECONDS:
                self.second_signal = number
            self.begin(now)
            self._wake()

    def _watch_until(self, deadline: float) -> None:
        self._deadline = deadline
        if self._entered and deadline < math.inf and next(self._watchers) == 0:
            start, overdue = original("_thread", "start_new_thread"), original("_thread", "allocate_lock")()
            overdue.acquire()
            start(self._watch, (overdue,))
            start(self._end, (overdue,))  # now: Python 3.12 starts no thread on the way out of the interpreter

    def _watch(self, overdue: Any) -> None:
        sleep = original("time", "sleep")
        # Ticks, not seconds: after a pause of the whole process, the main thread has its chance before the end.
        while self._overdue * TICK_SECONDS < GRACE_SECONDS:
            sleep(TICK_SECONDS)
            if not self._entered:
                overdue.release()
                return
            if self.second_signal is not None or time.monotonic() >= self._deadline:
                self._overdue += 1
        overdue.release()
        sleep(REPORT_SECONDS)  # the log may be held up by a lock that the main thread has
        os._exit(self._overdue_code())

    def _overdue_code(self) -> int:
        return self.late_code if self.second_signal is None else 128 + self.second_signal

    def _end(self, overdue: Any) -> None:
        overdue.acquire()
        if not self._entered:
            return
        code = self._overdue_code()
        logger.critical("Something holds the main thread: the process ends with exit code %d", code)
        self._report()
        end_process(code)


def end_process(code: int) -> NoReturn:
    """
    End the process at once, with its log and output flushed.

    The interpreter's own way out would stop the threads that still run at any point, while they hold locks of the
    standard streams, and may then hang or abort.
    """
    try:
        logging.shutdown()
        flush_std_streams()
    finally:
        os._exit(code)


def replace_process(command: list[str], environment: Mapping[str, str]) -> NoReturn:
    """
    Replace this process by another program, with its log and output flushed.

    ``environment`` is added to its environment.
    """
    logging.shutdown()
    flush_std_streams()
    os.execve(command[0], command, {**os.environ, **environment})  # noqa: S606  no shell is the point


def flush_std_streams() -> None:
    """Flush stdout and stderr; a stream whose reader has gone is left alone."""
    for stream in (sys.stdout, sys.stderr):
        if stream is not None:
            with contextlib.suppress(OSError, ValueError):  # ValueError: it is closed
                stream.flush()


def _ignore_signals() -> None:
    # During its last steps the interpreter replaces handlers, but not this, by the default actions.
    for number in SIGNALS:
        signal.signal(number, signal.SIG_IGN)
