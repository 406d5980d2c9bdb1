"""The time limit of a server that hangs, and the threads that wait longer."""

from __future__ import annotations

import functools
import threading
import time
from collections.abc import Callable
from queue import Empty, SimpleQueue
from typing import TypeVar

from asgi_redis.process import fork

T = TypeVar("T")

HANG_TIMEOUT_SECONDS = 1.0
"""How long a server may take to answer while others wait; then it counts as hanging."""


class BackgroundReplies:
    """Calls in threads that wait for late replies; ``settle`` waits for all."""

    def __init__(self, thread_name: str) -> None:
        self._thread_name = thread_name
        self.start_process()
        fork.register(self)

    def start_process(self) -> None:
        """Leave the calls to the process that this one was forked from."""
        self._number = 0
        self._settled = threading.Condition()

    def wait_for(self, call: Callable[[], object]) -> None:
        """Make ``call``, which must not raise, in a thread."""
        with self._settled:
            self._number += 1
        start_or_run(functools.partial(self._run, call), self._thread_name)

    def settle(self, deadline: float) -> bool:
        """Return whether all calls have ended by ``deadline`` (``time.monotonic``)."""
        fork.check()
        with self._settled:
            return self._settled.wait_for(lambda: not self._number, max(0.0, deadline - time.monotonic()))

    def _run(self, call: Callable[[], object]) -> None:
        try:
            call()
        finally:
            with self._settled:
                self._number -= 1
                self._settled.notify_all()


class HastyCalls:
    """
    Calls to one server within ``HANG_TIMEOUT_SECONDS``, each in a thread.

    While some are late, others are made one at a time: however many callers try again, a server that hangs gets few.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self.start_process()
        fork.register(self)

    def start_process(self) -> None:
        """Leave the calls to the process that this one was forked from."""
        self._lock = threading.Lock()
        self._begun: dict[object, float] = {}

    def make(self, call: Callable[[], T]) -> T:
        """Return the result of ``call``; raise its error, or ``TimeoutError``."""
        key, begun, now = object(), self._begun, time.monotonic()
        with self._lock:
            ages = [now - moment for moment in list(begun.values())]
            if ages and max(ages) > HANG_TIMEOUT_SECONDS >= min(ages):
                raise TimeoutError(f"{self._name} takes more than {HANG_TIMEOUT_SECONDS:g} s")
            begun[key] = now

        def run() -> T:
            try:
                return call()
            finally:
                del begun[key]

        return within(HANG_TIMEOUT_SECONDS, run, self._name)


def within(seconds: float, call: Callable[[], T], name: str) -> T:
    """
    Return the result of ``call``, made in a thread, or raise its error.

    Raises the built-in ``TimeoutError`` after ``seconds``; then the result is dropped. Where no thread can be
    started it takes as long as the call takes.
    """
    outcomes: SimpleQueue[T | BaseException] = SimpleQueue()

    def run() -> None:
        try:
            outcomes.put(call())
        except BaseException as error:  # noqa: BLE001  raised below
            outcomes.put(error)

    start_or_run(run, name)
    try:
        outcome = outcomes.get(timeout=seconds)
    except Empty:
        raise TimeoutError(f"{name} takes more than {seconds:g} s") from None
    if isinstance(outcome, BaseException):
        raise outcome
    return outcome


def start_or_run(call: Callable[[], object], name: str) -> None:
    """Make ``call`` in a daemon thread; in this one when the interpreter ends."""
    try:
        threading.Thread(target=call, name=name, daemon=True).start()
    except RuntimeError:
        call()
