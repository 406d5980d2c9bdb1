"""
Threads that receive for the waiters of a layer, each from a few queues.

Each message, and each new waiter, changes the request of a thread, and Redis looks at every queue of a request. A
thread therefore serves few queues, so the cost of a message does not grow with the number of channels.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterable
from itertools import chain
from queue import Empty, SimpleQueue
from typing import NamedTuple

from asgi_redis.aio.mailbox import Mailboxes, MessageWaiter
from asgi_redis.connection import as_exception
from asgi_redis.engine.layer_reader import LayerReader
from asgi_redis.exceptions import LayerClosed
from asgi_redis.process import fork
from asgi_redis.wire.message import Message

logger = logging.getLogger("asgi_redis")

QUEUES_PER_THREAD = 32
_MAX_BATCH = 256  # messages
_WAIT_SECONDS = 5.0
_SERVING_SECONDS = 1.0  # that servers count as reachable after they were reached


class ReceiverSettings(NamedTuple):
    """
    The settings that the threads of a layer share.

    ``send`` returns a message that was received and not taken to its channel. There are ``max_threads`` at most.
    """

    make_reader: Callable[[], LayerReader]
    send: Callable[[str, Message], object]
    name: str
    max_threads: int


class BatchRequest(NamedTuple):
    """The next request of a thread; ``fail_fast`` where a waiter asks for an error."""

    channels: tuple[str, ...]
    limit: int
    limits: dict[str, int] | None
    fail_fast: bool


class ReceiveThread:
    """
    A thread that receives from some queues.

    It sleeps while there are no waiters for them. When it ends, it requeues the messages of normal channels that no
    waiter of this process will take. The lock of the mailboxes guards it.
    """

    def __init__(self, settings: ReceiverSettings, mailboxes: Mailboxes) -> None:
        self.waiters: dict[str, set[MessageWaiter]] = {}
        """The waiters for each queue that are not notified."""
        self._settings = settings
        self._mailboxes = mailboxes
        self.new_waiters: set[MessageWaiter] = set()  # which get the error if no server is reachable
        self._request: BatchRequest | None = None
        self._serving_until = 0.0
        self._thread: threading.Thread | None = None
        self._reader: LayerReader | None = None
        self._wakeups: SimpleQueue[None] = SimpleQueue()
        self._is_woken = False
        self.is_receiving = False
        self._ending = False
        self._busy = True  # whether there may be several messages

    def is_down(self) -> bool:
        """Whether no server is reachable, as far as is known."""
        return self._reader is not None and self._reader.down

    def start(self) -> None:
        """Start the thread unless it runs. Raises ``RuntimeError`` where none can start."""
        if self._thread is None:
            self._ending = False
            self._reader = self._settings.make_reader()
            thread = threading.Thread(target=self._run, args=(self._reader,), name=self._settings.name, daemon=True)
            thread.start()
            self._thread = thread

    def add(self, waiter: MessageWaiter, fail_fast: bool) -> None:
        """Receive for a waiter."""
        known = self.waiters or time.monotonic() < self._serving_until
        is_serving = known and not self.new_waiters and not self.is_down()
        is_first = waiter.queue not in self.waiters
        self.waiters.setdefault(waiter.queue, set()).add(waiter)
        self._request = None
        if fail_fast and not is_serving:
            self.new_waiters.add(waiter)
        if is_first or not is_serving:
            self.change()

    def remove(self, queue: str, waiters: Iterable[MessageWaiter]) -> bool:
        """Stop receiving for some waiters of a queue; return whether it has no others."""
        self.new_waiters.difference_update(waiters)
        self._request = None
        others = self.waiters[queue]
        others.difference_update(waiters)
        if not others:
            del self.waiters[queue]
        return not others

    def change(self) -> None:
        """Let the thread look at once what it is to receive."""
        if self.is_receiving:
            assert self._reader is not None
            self._reader.unblock()
        elif not self._is_woken:
            self._is_woken = True
            self._wakeups.put(None)

    def end(self) -> None:
        """Let the thread end, soon. For finalisers, which must not take a lock."""
        self._ending = True
        self._wakeups.put(None)

    def stop(self) -> threading.Thread | None:
        """Let the thread end now, and return it. Its waiters get ``LayerClosed``."""
        self._ending = True
        if self._thread is not None:
            self.change()
        return self._thread

    # The thread

    def _run(self, reader: LayerReader) -> None:
        mailboxes, generation = self._mailboxes, fork.check()
        try:
            while True:
                mailboxes.sweep()
                with mailboxes.lock:
                    # A greenlet that was forked along is not this process's thread.
                    if self._ending or fork.generation != generation:
                        return
                    mailboxes.discard_collected()
                    if self._request is None and self.waiters:
                        self._request = self._make_request()
                    request = self._request
                    self.is_receiving = request is not None
                if request is None:
                    self._sleep()
                else:
                    self._receive(reader, request)
        finally:
            if fork.generation == generation:
                self._finish()
            reader.close()

    def _make_request(self) -> BatchRequest:
        limits = {queue: len(waiters) for queue, waiters in self.waiters.items() if "!" not in queue}
        # Only this process receives from a process-local queue, and a message there may be for any of its channels.
        # From other queues no more is taken than there are waiters: the rest is for other processes.
        limit = _MAX_BATCH if len(limits) < len(self.waiters) else min(_MAX_BATCH, sum(limits.values()))
        needs_limits = len(self.waiters) > 1 and limits
        channels = tuple(sorted(self.waiters))
        return BatchRequest(channels, limit, limits if needs_limits else None, bool(self.new_waiters))

    def _sleep(self) -> None:
        try:
            self._wakeups.get(timeout=self._mailboxes.time_left())
        except Empty:
            self._mailboxes.sweep(at_once=True)
        else:
            self._is_woken = False

    def _receive(self, reader: LayerReader, request: BatchRequest) -> None:
        mailboxes = self._mailboxes
        channels, limit, limits, fail_fast = request
        if not self._busy:
            limit = 1  # where messages come one at a time, to look for more before waiting is a round trip in vain
        try:
            if fail_fast and reader.down:
                reader.retry()
            batch = reader.receive_batch(channels, limit, 0.0 if fail_fast else _WAIT_SECONDS, limits, shared=True)
        except BaseException as error:  # noqa: BLE001  it is the callers'
            with mailboxes.lock:
                mailboxes.fail(list(chain(*self.waiters.values())), as_exception(error))
            return
        finally:
            self.is_receiving = False
        self._busy = len(batch) > 1 or (limit == 1 and bool(batch))
        if batch:
            mailboxes.deliver(batch)
        if fail_fast:
            outage = reader.error if reader.down else None
            with mailboxes.lock:
                if outage is not None:
                    mailboxes.fail(list(self.new_waiters), outage)
                else:
                    self._serving_until = time.monotonic() + _SERVING_SECONDS
                    self.new_waiters.clear()
                    self._request = None

    def _finish(self) -> None:
        mailboxes = self._mailboxes
        with mailboxes.lock:
            self._thread = None
            self.is_receiving = False
            error = LayerClosed("the channel layer was closed while this waited for a message")
            mailboxes.fail(list(chain(*self.waiters.values())), error)
            surplus = mailboxes.take_surplus()
        for channel, message in surplus:
            try:
                self._settings.send(channel, message)
            except BaseException:
                logger.exception("A message of channel %r that nobody took could not be sent back", channel)


class ReceiveThreads:
    """All threads of a layer in one process. The lock of the mailboxes guards them."""

    def __init__(self, settings: ReceiverSettings, mailboxes: Mailboxes) -> None:
        self._settings = settings
        self._mailboxes = mailboxes
        self.threads = [ReceiveThread(settings, mailboxes)]
        self.by_queue: dict[str, ReceiveThread] = {}
        """The thread of each queue that there are waiters for."""

    def add(self, waiter: MessageWaiter, fail_fast: bool) -> None:
        """Receive for a waiter. Raise ``RuntimeError`` where no thread can be started."""
        thread = self.by_queue.get(waiter.queue) or self._find()
        thread.start()
        self.by_queue[waiter.queue] = thread
        thread.add(waiter, fail_fast)

    def _find(self) -> ReceiveThread:
        thread = next((thread for thread in self.threads if len(thread.waiters) < QUEUES_PER_THREAD), None)
        if thread is None and len(self.threads) < self._settings.max_threads:
            thread = ReceiveThread(self._settings, self._mailboxes)
            self.threads.append(thread)
        return thread or min(self.threads, key=lambda thread: len(thread.waiters))

    def remove(self, waiters: Iterable[MessageWaiter], interrupt: bool = False) -> None:
        """Stop receiving for waiters; ``interrupt`` a request that is only for them."""
        by_queue: dict[str, list[MessageWaiter]] = {}
        for waiter in waiters:
            by_queue.setdefault(waiter.queue, []).append(waiter)
        for queue, some in by_queue.items():
            thread = self.by_queue[queue]
            if thread.remove(queue, some):
                del self.by_queue[queue]
                if interrupt:
                    thread.change()

    def is_down(self) -> bool:
        """Whether no server is reachable, as far as is known."""
        return self.threads[0].is_down()

    def end(self) -> None:
        """Let the threads end, soon. For finalisers, which must not take a lock."""
        for thread in self.threads:
            thread.end()

    def close(self, timeout: float) -> None:
        """End the threads within ``timeout`` seconds. Their waiters get ``LayerClosed``."""
        with self._mailboxes.lock:
            threads = [thread.stop() for thread in self.threads]
        deadline = time.monotonic() + timeout
        for thread in threads:
            if thread is not None:
                thread.join(max(0.0, deadline - time.monotonic()))
