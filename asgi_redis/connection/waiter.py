"""What ends a wait for messages, from any thread or signal handler."""

from __future__ import annotations

import contextlib
import os


class Waiter:
    """Somebody who waits in ``pop``; ``wake`` ends the wait, from any thread or signal handler."""

    def __init__(self) -> None:
        self._read_end, self._write_end = os.pipe()
        os.set_blocking(self._read_end, False)
        os.set_blocking(self._write_end, False)

    def fileno(self) -> int:
        """What can be polled: readable once woken."""
        return self._read_end

    def wake(self) -> None:
        """Ends the wait that is going on, or the next one."""
        with contextlib.suppress(BlockingIOError):  # full of wakes that nobody has waited for
            os.write(self._write_end, b"\0")

    def clear(self) -> None:
        """Makes ready for the next wait, after one that was woken."""
        with contextlib.suppress(BlockingIOError):
            os.read(self._read_end, 1 << 16)  # as much as a pipe holds

    def __del__(self) -> None:
        os.close(self._read_end)
        os.close(self._write_end)
