"""The thread that receives for all the coroutines of one layer that wait, in any number of loops."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping, Sequence
from queue import Empty, SimpleQueue
from typing import Any, Protocol

from asgi_redis.aio.lanes import Lane
from asgi_redis.aio.mailbox import Inbox
from asgi_redis.aio.waiters import Aim, Message
from asgi_redis.connection import as_exception
from asgi_redis.exceptions import LayerClosed
from asgi_redis.process import fork

logger = logging.getLogger("asgi_redis")

_ROUND = 5.0  # seconds


class Reader(Protocol):
    """
    What a layer's ``reader()`` returns.

    One that waits for a server to come back instead of raising its error has, too: ``down``, whether it does so now;
    ``error``, why; and ``retry``, which tries at once.
    """

    @property
    def serving(self) -> bool:
        """Whether a server has answered the last call."""

    def receive_batch(
        self,
        channels: Sequence[str],
        limit: int,
        timeout: float = 0,
        limits: Mapping[str, int] | None = None,
        shared: bool = False,
    ) -> list[tuple[str, Any]]:
        """
        Returns up to ``limit`` messages, no more than ``limits`` of a channel; waits ``timeout`` seconds for one.

        With ``shared``, a ``SharedMessage`` may take the place of one that is for several channels.
        """

    def unblock(self) -> None:
        """Ends a ``receive_batch`` that waits, or else the next one."""

    def close(self) -> None:
        """Is called when no more will be received."""


class Popper:
    """
    Receives what ``inbox`` wants in one lane while it wants something; sleeps while it does not.

    When it ends, what was received of normal channels and not taken is sent again, for other processes.
    """

    def __init__(
        self,
        inbox: Inbox,
        lane: Lane,
        make_reader: Callable[[], Reader],
        send: Callable[[str, Message], object],
        name: str,
    ) -> None:
        self._inbox = inbox
        self._lane = lane
        self._make_reader = make_reader
        self._send = send
        self._name = name
        self.start_process()
        fork.register(self)

    def start_process(self) -> None:
        """Starts without a thread: that of the parent is its own."""
        self._thread: threading.Thread | None = None
        self._reader: Reader | None = None
        self._bell: SimpleQueue[None] = SimpleQueue()
        self._rung = False
        self._receiving = False
        self._ending = False
        self._busy = True  # whether there may be several messages

    def is_down(self) -> bool:
        """Whether no server is there to receive from, as far as is known."""
        return getattr(self._reader, "down", False)

    def start(self) -> None:
        """Sees that the thread runs. To be called with the inbox's lock held."""
        if self._thread is None:
            self._ending = False
            self._reader = self._make_reader()
            thread = threading.Thread(target=self._run, args=(self._reader,), name=self._name, daemon=True)
            thread.start()
            self._thread = thread

    def change(self) -> None:
        """Lets the thread look at the inbox at once. To be called with the inbox's lock held."""
        if self._receiving:
            assert self._reader is not None
            self._reader.unblock()
        elif not self._rung:
            self._rung = True
            self._bell.put(None)

    def end(self) -> None:
        """Lets the thread end, soon. For finalisers, which must not take a lock."""
        self._ending = True
        self._bell.put(None)

    def close(self, timeout: float) -> None:
        """Ends the thread, and waits up to ``timeout`` seconds for it. Who waits gets ``LayerClosed``."""
        with self._inbox.lock:
            self._ending = True
            thread = self._thread
            if thread is not None:
                self.change()
        if thread is not None:
            thread.join(timeout)

    def _run(self, reader: Reader) -> None:
        inbox, lane = self._inbox, self._lane
        try:
            while True:
                inbox.sweep()
                with inbox.lock:
                    # A greenlet that was forked along is not this process's receiver.
                    if self._ending or reader is not self._reader:
                        return
                    aim = inbox.aim(lane)
                    self._receiving = aim is not None
                if aim is not None:
                    self._receive(reader, aim)
                    continue
                try:
                    self._bell.get(timeout=inbox.time_left())
                except Empty:
                    inbox.sweep(at_once=True)
                else:
                    self._rung = False
        finally:
            surplus: list[tuple[str, Message]] = []
            with inbox.lock:
                if reader is self._reader:
                    self._thread = None
                    self._receiving = False
                    inbox.fail(lane, LayerClosed("the channel layer was closed while this waited for a message"))
                    surplus = inbox.surrender()
            reader.close()
            for channel, message in surplus:
                try:
                    self._send(channel, message)
                except BaseException:
                    logger.exception("A message of channel %r that nobody took could not be sent back", channel)

    def _receive(self, reader: Reader, aim: Aim) -> None:
        try:
            if aim.first and self.is_down():
                reader.retry()  # type: ignore[attr-defined]  # it has that if it has ``down``
            # Where messages come one at a time, to look for more before waiting is a round trip for nothing.
            limit = aim.limit if self._busy else 1
            batch = reader.receive_batch(aim.channels, limit, 0.0 if aim.first else _ROUND, aim.limits, shared=True)
        except BaseException as error:  # noqa: BLE001  it is the callers'
            with self._inbox.lock:
                self._inbox.fail(self._lane, as_exception(error))
            return
        finally:
            self._receiving = False
        self._busy = len(batch) > 1 or (limit == 1 and bool(batch))
        if batch:
            self._inbox.deliver(batch)
        if aim.first and self.is_down():
            self._inbox.fail_newcomers(self._lane, reader.error)  # type: ignore[attr-defined]  # as above
        elif aim.first:
            self._inbox.served(self._lane)
