"""
What a worker does beside running messages: one ``Duty`` for each thing.

The worker calls them in the thread that it runs in, in the order in which they were given.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from workers.worker import Worker


class Duty:
    """Something to be looked after while a worker works. Does nothing by itself: to be derived from."""

    def start(self, worker: Worker) -> None:
        """The worker is about to pull its first message."""

    def check(self, worker: Worker) -> str | None:
        """Called twice a second until the worker stops; returns why it is to stop, or None."""
        return None

    def quiet(self) -> None:
        """The worker has begun to stop."""

    def stop(self) -> None:
        """Nothing runs any more, or what still does is left to its fate."""
