"""Replies of workers on their way to connections: one thread for each process."""

from __future__ import annotations

import asyncio
import itertools
import logging
import os
import threading
from collections.abc import Callable, Iterable
from typing import Any, Protocol

from asgi_redis.aio import AsyncChannelLayer
from asgi_redis.engine.fanout import SharedMessage
from asgi_redis.engine.layer_reader import LayerReader
from asgi_redis.interface.notices import Notices
from asgi_redis.process import fork
from asgi_redis.wire.message import TRACE_KEY, Batch, Message

logger = logging.getLogger("asgi_redis")

HTTP = "http.response"
WEBSOCKET = "websocket.send"

_MAX_BATCH = 1024  # messages in one round trip
_WAIT_SECONDS = 5.0
_HANDOVER_SECONDS = 1.0
_RETRY_SECONDS = 1.0
_GATHER_SECONDS = 0.001  # before the next round trip, while many replies come


class Connection(Protocol):
    """A connection of a client, as the thread sees it."""

    loop: asyncio.AbstractEventLoop

    @property
    def parse(self) -> Callable[[Message], Any]:
        """A function that returns the reply in a message, or raises ``ValueError``."""

    def deliver(self, reply: Any) -> None:
        """Take a reply that ``parse`` has returned; called in ``loop``."""


Delivery = tuple[Connection, Any]

_numbers = itertools.count(1)


class Replies:
    """
    The reply channels of a process, and the thread that receives from them.

    Each kind of connection has one queue. The thread takes all that is there, so that a client who reads slowly costs
    others nothing of its capacity. It runs while there are connections or replies, and some seconds longer,
    unless the server shuts down.
    """

    def __init__(self, layer: AsyncChannelLayer, notices: Notices) -> None:
        self._layer = layer
        self._notices = notices
        # Interfaces over one layer must not take each other's replies.
        number = next(_numbers)
        self._own = "" if number == 1 else f"{number}."
        self.start_process()
        fork.register(self)

    def start_process(self) -> None:
        """Start without connections and thread: both are the parent's."""
        self._lock = threading.Lock()
        self._connections: dict[str, Connection] = {}
        self._thread: threading.Thread | None = None
        self._reader: LayerReader | None = None
        self._stopping = threading.Event()
        self._last: tuple[Any, Any, Any] = (None, None, None)

    def add(self, kind: str, connection: Connection) -> str:
        """Return the reply channel of a new connection of one ``kind``."""
        fork.check()
        # An id that no consumer can guess: it is all that a consumer needs to write to the connection.
        channel = f"{self._queue(kind)}{os.urandom(9).hex()}"
        with self._lock:
            if self._thread is None:
                self._start()
            self._connections[channel] = connection
        return channel

    def _queue(self, kind: str) -> str:
        return f"{kind}.{self._own}{self._layer.client_prefix}!"

    def remove(self, channel: str) -> None:
        """Drop replies to this channel from now on."""
        self._connections.pop(channel, None)

    def close(self, timeout: float, only_idle: bool = False) -> None:
        """
        End the thread within ``timeout`` seconds; the next connection starts another.

        ``only_idle``: leave it running while there are connections, as another event loop may have.
        """
        with self._lock:
            if only_idle and self._connections:
                return
            thread, reader, self._thread = self._thread, self._reader, None
            self._stopping.set()
        if thread is not None and reader is not None:
            reader.unblock()
            thread.join(timeout)

    # The thread

    def _start(self) -> None:
        self._stopping = threading.Event()
        self._reader = self._layer.layer.reader()
        self._thread = threading.Thread(
            target=self._run, args=(self._reader, self._stopping), name="replies", daemon=True
        )
        self._thread.start()

    def _run(self, reader: LayerReader, stopping: threading.Event) -> None:
        queues = [self._queue(HTTP), self._queue(WEBSOCKET)]
        taken: list[threading.Event] = []
        limit, size, idle = 1, 0, False
        try:
            while self._goes_on(stopping, idle):
                if size > 1:
                    # A round trip, and waking the loop, cost more than the replies in it: the more, the better.
                    stopping.wait(_GATHER_SECONDS)
                # Where replies come one at a time, to look for more before waiting is a round trip in vain.
                limit = 1 if size <= 1 and limit > 1 else _MAX_BATCH
                try:
                    batch = reader.receive_batch(queues, limit, _WAIT_SECONDS, shared=True)
                except Exception:
                    logger.exception("Replies of workers cannot be received; trying again")
                    stopping.wait(_RETRY_SECONDS)
                    continue
                size, idle = len(batch), not batch
                # One batch is on its way while the next is received: a loop that cannot keep up slows this down, and
                # then the queue fills up and slows the workers down.
                for event in taken:
                    event.wait(_HANDOVER_SECONDS)
                taken = self._hand_over(batch)
        finally:
            reader.close()

    def _goes_on(self, stopping: threading.Event, idle: bool) -> bool:
        """Return whether to receive again; while there are requests one by one, too."""
        with self._lock:
            if (self._connections or not idle) and not stopping.is_set():
                return True
            if self._thread is threading.current_thread():
                self._thread = None
            return False

    def _hand_over(self, batch: Batch) -> list[threading.Event]:
        by_loop: dict[asyncio.AbstractEventLoop, list[Delivery]] = {}
        for channel, message in batch:
            connection = self._connections.get(channel)
            if connection is None:
                logger.debug("A reply to channel %r comes too late, or from elsewhere: no connection has it", channel)
                continue
            reply = self._parsed(connection, channel, message)
            if reply is not None:
                by_loop.setdefault(connection.loop, []).append((connection, reply))
        taken = []
        for loop, deliveries in by_loop.items():
            event = threading.Event()
            try:
                loop.call_soon_threadsafe(_deliver, deliveries, event)
            except RuntimeError:
                continue  # the loop is closed, and its connections have gone with it
            taken.append(event)
        return taken

    def _parsed(self, connection: Connection, channel: str, message: Message | SharedMessage) -> Any:
        """Return the reply in a message; None, and a line in the log, where it is none."""
        if not isinstance(message, SharedMessage):
            return self._parse(connection, channel, message)
        # The members of a group come in a row: their message is decoded once.
        shared, parse, reply = self._last
        if shared is not message or parse is not connection.parse:
            try:
                content = message.message()
            except Exception as error:  # noqa: BLE001  a serialiser may raise anything
                self._notices.add("Dropped a reply", channel, error)
                reply = None
            else:
                reply = self._parse(connection, channel, content)
            self._last = message, connection.parse, reply
        return reply

    def _parse(self, connection: Connection, channel: str, message: Message) -> Any:
        message.pop(TRACE_KEY, None)
        try:
            return connection.parse(message)
        except Exception as error:  # noqa: BLE001  no message may end the thread, which serves all connections
            reason = str(error) if isinstance(error, ValueError) else error
            self._notices.add("Dropped a reply", channel, reason)
            return None


def _deliver(deliveries: Iterable[Delivery], taken: threading.Event) -> None:
    """Give replies to their connections, in their event loop."""
    for connection, reply in deliveries:
        try:
            connection.deliver(reply)
        except Exception:  # the other connections get their replies
            logger.exception("A reply could not be delivered")
    taken.set()
