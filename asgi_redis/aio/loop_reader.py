"""An event loop that reads the connections on which messages of pub/sub come."""

from __future__ import annotations

import asyncio
import contextlib

from asgi_redis.aio.duplicate import Duplicate
from asgi_redis.engine.pubsub.link import Link
from asgi_redis.engine.pubsub.link_reader import LinkReader, ReadInLoop


class LoopReader(LinkReader):
    """Reads connections in ``loop`` for as long as the listeners want that."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self._watched: set[Duplicate] = set()

    def is_running(self) -> bool:
        return self.loop.is_running()

    def watch(self, link: Link, listener: ReadInLoop) -> bool:
        try:
            self.loop.call_soon_threadsafe(self._add, Duplicate(link.fileno()), link, listener)
        except (OSError, RuntimeError):
            return False  # no descriptor is left, or the loop is closed
        return True

    def stop(self) -> None:
        with contextlib.suppress(RuntimeError):  # the loop is closed, and watches nothing
            self.loop.call_soon_threadsafe(self._forget_all)

    # Called by the loop

    def _add(self, duplicate: Duplicate, link: Link, listener: ReadInLoop) -> None:
        self._watched.add(duplicate)
        self.loop.add_reader(duplicate, self._read, duplicate, link, listener)

    def _read(self, duplicate: Duplicate, link: Link, listener: ReadInLoop) -> None:
        if not listener.read_in_loop(self, link):
            self._forget(duplicate)

    def _forget_all(self) -> None:
        for duplicate in list(self._watched):
            self._forget(duplicate)

    def _forget(self, duplicate: Duplicate) -> None:
        self._watched.discard(duplicate)
        self.loop.remove_reader(duplicate)
