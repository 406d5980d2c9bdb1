"""What a server that hangs may still do: it is waited for in threads of their own, so that no caller has to."""

from __future__ import annotations

import functools
import threading
import time
from collections.abc import Callable
from queue import Empty, SimpleQueue
from typing import Any

from asgi_redis.process import fork

HANG_TIMEOUT_SECONDS = 1.0  # seconds that something may take while others wait for it


class BackgroundReplies:
    """Calls that nobody waits for any more, but whoever wants to ``settle``; ``name`` is what their threads show."""

    def __init__(self, name: str) -> None:
        self._name = name
        self.start_process()
        fork.register(self)

    def start_process(self) -> None:
        """Leaves them to the process that this one was forked from."""
        self._number = 0
        self._settled = threading.Condition()

    def make(self, call: Callable[[], object]) -> None:
        """Makes ``call``, which must not raise, in a thread."""
        with self._settled:
            self._number += 1
        start_or_run(functools.partial(self._run, call), self._name)

    def settle(self, deadline: float) -> bool:
        """Waits for all of them; returns whether they have ended by ``deadline`` (``time.monotonic``)."""
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


def within(seconds: float, call: Callable[[], Any], name: str) -> Any:
    """
    Returns what ``call`` returns, or raises its error; made in a thread, which is called ``name``.

    Raises the built-in ``TimeoutError`` after ``seconds``; then the result is dropped. Where no thread can be
    started it takes as long as the call takes.
    """
    outcomes: SimpleQueue[Any] = SimpleQueue()

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
    """Makes ``call`` in a daemon thread; in this one where none can be started, as at the end of the interpreter."""
    try:
        threading.Thread(target=call, name=name, daemon=True).start()
    except RuntimeError:
        call()
