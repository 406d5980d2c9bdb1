"""A pipe that ends a wait for messages, from any thread or signal handler."""

from __future__ import annotations

import contextlib
import math
import os
import select
from collections.abc import Sequence
from typing import Any

from asgi_redis.process import fork


class WakeupPipe:
    """Ends a wait: ``wake`` makes it readable, from any thread or signal handler; ``clear`` makes it ready again."""

    _ends: tuple[int, ...] = ()

    def __init__(self) -> None:
        self._ends = self._read_end, self._write_end = _pipe()
        fork.register(self)

    def start_process(self) -> None:
        """Replaces the pipe, which is the parent's, too: one of them would take what wakes the other."""
        for end, own in zip(_pipe(), self._ends):
            os.dup2(end, own, inheritable=False)  # the number stays: a wait may go on in the forked process
            os.close(end)

    def fileno(self) -> int:
        """What can be polled: readable once woken."""
        return self._read_end

    def wake(self) -> None:
        """Ends the wait that is going on, or the next one."""
        fork.check()
        with contextlib.suppress(BlockingIOError):  # full of wakes that nobody has waited for
            os.write(self._write_end, b"\0")

    def clear(self) -> None:
        """Makes ready for the next wait, after one that was woken."""
        with contextlib.suppress(BlockingIOError):
            os.read(self._read_end, 1 << 16)  # as much as a pipe holds

    def __del__(self) -> None:
        for end in self._ends:
            os.close(end)


def _pipe() -> tuple[int, int]:
    ends = os.pipe()
    for end in ends:
        os.set_blocking(end, False)
    return ends


def poll(readable: Sequence[Any], timeout: float) -> list[Any]:
    """
    Wait up to ``timeout`` seconds until an object with a ``fileno()`` is readable; return all that are.

    Raises ``ValueError`` for one that is closed, unless its ``fileno`` raises something else.
    """
    poller = select.poll()
    by_descriptor = {}
    for one in readable:
        descriptor = one.fileno()
        by_descriptor[descriptor] = one
        poller.register(descriptor, select.POLLIN)
    return [by_descriptor[descriptor] for descriptor, _ in poller.poll(math.ceil(timeout * 1000))]
