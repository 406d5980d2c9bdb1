"""The wake-up pipe: it ends a wait, from any thread or signal handler."""

from __future__ import annotations

import contextlib
import math
import os
import select
from collections.abc import Sequence
from typing import Any

from asgi_redis.process import fork


class WakeupPipe:
    """
    A pipe to poll in a wait: ``wake`` makes it readable and so ends the wait.

    ``wake`` may be called by any thread and any signal handler.
    """

    _ends: tuple[int, ...] = ()

    def __init__(self) -> None:
        self._ends = self._read_end, self._write_end = _pipe()
        fork.register(self)

    def start_process(self) -> None:
        """Replace the pipe: the parent would read the bytes for this process."""
        for end, own in zip(_pipe(), self._ends):
            os.dup2(end, own, inheritable=False)  # the number stays: a wait may go on in the forked process
            os.close(end)

    def fileno(self) -> int:
        """Return the descriptor to poll: it is readable once woken."""
        return self._read_end

    def wake(self) -> None:
        """End the current wait, or the next one."""
        fork.check()
        with contextlib.suppress(BlockingIOError):  # full of wakes that no wait has cleared
            os.write(self._write_end, b"\0")

    def clear(self) -> None:
        """Make ready for the next wait, after a wake."""
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
    Wait for an object to be readable, up to ``timeout`` seconds; return all.

    Each object has a ``fileno()``, whose errors pass through. Raises ``ValueError`` for a negative one.
    """
    poller = select.poll()
    by_descriptor = {}
    for one in readable:
        descriptor = one.fileno()
        by_descriptor[descriptor] = one
        poller.register(descriptor, select.POLLIN)
    return [by_descriptor[descriptor] for descriptor, _ in poller.poll(math.ceil(timeout * 1000))]
