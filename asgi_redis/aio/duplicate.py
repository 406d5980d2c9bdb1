"""The descriptor by which an event loop watches a connection."""

from __future__ import annotations

import os


class Duplicate:
    """
    A second descriptor of a connection, closed with the last reference to it.

    A loop must have forgotten a descriptor before that is closed, and other threads, which close connections, cannot
    wait for a loop. Raises ``OSError`` where none is left.
    """

    _number = -1

    def __init__(self, number: int) -> None:
        self._number = os.dup(number)

    def fileno(self) -> int:
        """Return the number of the descriptor."""
        return self._number

    def __del__(self) -> None:
        if self._number >= 0:
            os.close(self._number)
