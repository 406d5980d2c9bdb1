"""
Event loops that read connections in place of the listening threads.

That saves two changes of threads for each message. A loop may be busy for long, so it reads only where no thread and
no other loop waits for messages.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from asgi_redis.engine.pubsub.link import Link


class ReadInLoop(Protocol):
    """A listener whose connection an event loop can read."""

    def read_in_loop(self, reader: LinkReader, link: Link) -> bool:
        """Deliver the messages that are there; return whether to go on with that."""


class LinkReader(Protocol):
    """An event loop, which reads connections until others wait for messages, too."""

    loop: object

    def watch(self, link: Link, listener: ReadInLoop) -> bool:
        """
        Call ``listener.read_in_loop`` whenever ``link`` is readable.

        Returns False where that cannot be. Called with the lock held, by any thread.
        """

    def stop(self) -> None:
        """Watch no connection any more. Called with the lock held, by any thread."""

    def is_running(self) -> bool:
        """Return whether the loop runs."""


class ReaderChoice:
    """
    The choice between an event loop and the listening threads as readers.

    The lock guards it. ``tell`` is called with each change: the loop, or None for the threads.
    """

    def __init__(self, tell: Callable[[LinkReader | None], object]) -> None:
        self.reader: LinkReader | None = None
        self.is_shared = False
        """Whether threads, or several loops, wait for messages."""
        self._tell = tell

    def offer(self, reader: LinkReader) -> None:
        """Take note that coroutines of a loop wait, which is not the reader yet."""
        if self.reader is not None and self.reader.is_running():
            self.share()
        elif not self.is_shared:
            self._choose(reader)

    def share(self) -> None:
        """Take note that not only coroutines of one loop wait."""
        self.is_shared = True
        if self.reader is not None:
            self._choose(None)

    def revise(self, is_shared: bool) -> None:
        """Take note of the waiters that there are; forget a loop that has ended."""
        self.is_shared = is_shared
        if self.reader is not None and not self.reader.is_running():
            self._choose(None)

    def _choose(self, reader: LinkReader | None) -> None:
        if self.reader is not None:
            self.reader.stop()
        self.reader = reader
        self._tell(reader)
