"""
Mailboxes: arrived messages, and the coroutines that wait for messages.

A message stays in its mailbox until the coroutine that takes it runs: a waiter is only notified. So no message is
lost when that coroutine is cancelled or its loop closed in the meantime; the next waiter is notified.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections import defaultdict, deque
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Protocol, Union

from asgi_redis.aio.group_message import MessageCopier
from asgi_redis.aio.loop_waker import settle
from asgi_redis.aio.runner import Closable
from asgi_redis.connection import each_its_own
from asgi_redis.engine.fanout import SharedMessage
from asgi_redis.process import fork
from asgi_redis.wire.expiry import is_over
from asgi_redis.wire.message import Message
from asgi_redis.wire.names import queue_of

logger = logging.getLogger("asgi_redis")

Arrival = tuple[str, Union[Message, SharedMessage]]

_EXPIRED_AFTER_SECONDS = 0.001  # by which a message has expired for certain
_SWEEP_SECONDS = 5.0
_MAX_CHANNELS = 250_000  # with a mailbox; a message may name any number of channels that nothing waits for


class MessageWaiter:
    """A coroutine that waits for a message of ``channel``, received from ``queue``."""

    __slots__ = ("channel", "future", "queue")

    def __init__(self, channel: str, future: asyncio.Future[None]) -> None:
        self.channel = channel
        self.queue = queue_of(channel)
        self.future = future

    def is_gone(self) -> bool:
        """Whether its loop is closed."""
        return self.future.get_loop().is_closed()


class Mailbox:
    """
    The messages of one channel, each with the time of its expiry, and its waiters.

    A message is reserved for each of the ``notified`` waiters, which are about to come.
    """

    __slots__ = ("messages", "notified", "waiters")

    def __init__(self) -> None:
        self.messages: deque[tuple[float, Message | SharedMessage]] = deque()
        self.waiters: deque[MessageWaiter] = deque()
        self.notified: set[MessageWaiter] = set()


class QueueReceiver(Closable, Protocol):
    """The threads that receive for waiters; called with the lock held."""

    def add(self, waiter: MessageWaiter, fail_fast: bool) -> None:
        """
        Receive for a waiter. Raises ``RuntimeError`` where no thread can be started.

        ``fail_fast``: the waiter gets the error where no server can be reached at this time.
        """

    def remove(self, waiters: Iterable[MessageWaiter], interrupt: bool = False) -> None:
        """Stop receiving for waiters; ``interrupt`` a request that is only for them."""


class Mailboxes:
    """
    The mailboxes and waiters of one layer; safe for threads and loops.

    ``capacity`` returns how many messages a channel's mailbox holds, which is for ``expiry`` seconds.
    ``make_receiver`` makes the threads, which are not started yet.
    """

    fails_fast = True
    """Whether waiters for process-local channels get the error of an outage, rather than a message at its end."""

    def __init__(
        self, capacity: Callable[[str], int], expiry: float, make_receiver: Callable[[Mailboxes], QueueReceiver]
    ) -> None:
        self._capacity = capacity
        self._expiry = expiry
        self._make_receiver = make_receiver
        self.start_process()
        fork.register(self)

    def start_process(self) -> None:
        """Start empty: messages and waiters are the parent's."""
        self._lock = threading.Lock()
        self.dropped_count = 0
        self.by_channel: defaultdict[str, Mailbox] = defaultdict(Mailbox)
        self._copier = MessageCopier()
        self.receiver = self._make_receiver(self)
        self._collected: deque[MessageWaiter] = deque()  # whose coroutine the garbage collector has ended
        self._expires = 0.0  # when the latest message does
        self._sweep_at = 0.0

    @property
    def lock(self) -> threading.Lock:
        """Guards the mailboxes and the threads that receive for them."""
        fork.check()
        return self._lock

    async def receive(self, channel: str) -> Message:
        """Return the next message of ``channel``; wait for it."""
        loop = asyncio.get_running_loop()
        waiter: MessageWaiter | None = None
        while True:
            with self.lock:
                message = self._take(channel, waiter)
                if message is not None:
                    return message
                waiter = MessageWaiter(channel, loop.create_future())
                self._enter(waiter)
            try:
                await waiter.future
            except GeneratorExit:
                # The garbage collector may end a coroutine at any point, also where this thread holds the lock.
                self._collected.append(waiter)
                raise
            except BaseException:
                with self.lock:
                    self._leave(waiter)
                raise

    def _take(self, channel: str, waiter: MessageWaiter | None) -> Message | None:
        """Return the next message, if there is one; for ``waiter``, which was notified."""
        mailbox = self.by_channel.get(channel)
        if mailbox is None:
            return None
        if waiter is not None:
            mailbox.notified.discard(waiter)
        now = time.monotonic()
        found: Message | None = None
        while mailbox.messages and found is None:
            expires, message = mailbox.messages.popleft()
            if isinstance(message, SharedMessage):
                found = None if is_over(message.expires, now) else self._copier.copy(message)
            elif not is_over(expires, now):
                found = message
            self.dropped_count += found is None
        self._tidy(channel, mailbox)
        return found

    def _enter(self, waiter: MessageWaiter) -> None:
        self.receiver.add(waiter, self.fails_fast or "!" not in waiter.channel)
        self.by_channel[waiter.channel].waiters.append(waiter)

    def _leave(self, waiter: MessageWaiter) -> None:
        mailbox = self.by_channel.get(waiter.channel)
        if mailbox is None:
            return
        if waiter in mailbox.notified:
            self._notify(self._successors([waiter]))
        elif waiter in mailbox.waiters:
            mailbox.waiters.remove(waiter)
            self.receiver.remove([waiter], interrupt=True)
        self._tidy(waiter.channel, mailbox)

    def waits(self, channel: str) -> bool:
        """Whether a ``receive`` from ``channel`` waits, in a loop that is not closed."""
        # Without the lock: callers hold another one, which a coroutine that is collected under this one may want.
        mailbox = self.by_channel.get(channel)
        waiters = [] if mailbox is None else list(mailbox.waiters)
        return any(waiter not in self._collected and not waiter.is_gone() for waiter in waiters)

    def deliver_to_local(self, message: Message, others: Iterable[str]) -> None:
        """Deliver a message to ``others`` and to all process-local channels with waiters."""
        with self.lock:
            channels = [channel for channel, one in self.by_channel.items() if one.waiters and "!" in channel]
        self.deliver([(channel, dict(message)) for channel in dict.fromkeys([*channels, *others])])

    def discard_collected(self) -> None:
        """Let the waiters leave whose coroutine was collected. With the lock held."""
        while self._collected:
            self._leave(self._collected.popleft())

    def deliver(self, batch: Iterable[Arrival]) -> None:
        """Put messages into the mailboxes, and notify their waiters."""
        with self.lock:
            notified: list[MessageWaiter] = []
            expires = self._expires = time.monotonic() + self._expiry
            for channel, message in batch:
                if channel not in self.by_channel and len(self.by_channel) >= _MAX_CHANNELS:
                    self.dropped_count += 1
                    continue
                mailbox = self.by_channel[channel]
                mailbox.messages.append((expires, message))
                unreserved = len(mailbox.messages) - len(mailbox.notified)
                if unreserved > 1 and unreserved > self._room(channel):  # there is room for one in any case
                    mailbox.messages.popleft()
                    self.dropped_count += 1
                if mailbox.waiters:
                    notified.append(self._reserve(mailbox))
            self._notify(notified)  # all at once: a group's message is for many

    def _room(self, channel: str) -> int:
        try:
            return self._capacity(channel)
        except BaseException:
            # A subclass of the layer may raise anything here, and the other messages must arrive.
            logger.exception("The capacity of channel %r is not known: its latest message is kept", channel)
            return 1

    def _reserve(self, mailbox: Mailbox) -> MessageWaiter:
        """Reserve a message for the first waiter; return it, for ``_notify``."""
        waiter = mailbox.waiters.popleft()
        mailbox.notified.add(waiter)
        return waiter

    def _notify(self, waiters: list[MessageWaiter]) -> None:
        while waiters:
            self.receiver.remove(waiters)
            unreached = set(settle([(waiter.future, None) for waiter in waiters]))
            waiters = self._successors([waiter for waiter in waiters if waiter.future in unreached])

    def _successors(self, gone: Iterable[MessageWaiter]) -> list[MessageWaiter]:
        """Return the waiters to notify in place of notified ones that will not come."""
        successors = []
        for waiter in gone:
            mailbox = self.by_channel[waiter.channel]
            mailbox.notified.discard(waiter)
            if mailbox.messages and mailbox.waiters:
                successors.append(self._reserve(mailbox))
        return successors

    def fail(self, waiters: Sequence[MessageWaiter], error: Exception) -> None:
        """Give an error to waiters that are not notified. With the lock held."""
        self.receiver.remove(waiters)
        for waiter in waiters:
            mailbox = self.by_channel[waiter.channel]
            mailbox.waiters.remove(waiter)
            self._tidy(waiter.channel, mailbox)
        settle(zip([waiter.future for waiter in waiters], each_its_own(error, len(waiters))))

    def sweep(self, at_once: bool = False) -> None:
        """Drop expired messages and gone waiters, if five seconds have passed."""
        now = time.monotonic()
        if now < self._sweep_at and not at_once:
            return
        with self.lock:
            self._copier.clear()
            self._sweep_at = now + _SWEEP_SECONDS
            for channel, mailbox in list(self.by_channel.items()):
                while mailbox.messages and is_over(mailbox.messages[0][0], now):
                    mailbox.messages.popleft()
                    self.dropped_count += 1
                for waiter in [waiter for waiter in (*mailbox.notified, *mailbox.waiters) if waiter.is_gone()]:
                    self._leave(waiter)
                self._tidy(channel, mailbox)

    def take_surplus(self) -> list[tuple[str, Any]]:
        """Take the messages that other processes may receive and no waiter here will."""
        surplus: list[tuple[str, Any]] = []
        for channel, mailbox in list(self.by_channel.items()):
            mailbox.notified = {waiter for waiter in mailbox.notified if waiter.future.get_loop().is_running()}
            while "!" not in channel and len(mailbox.messages) > len(mailbox.notified):
                surplus.append((channel, mailbox.messages.popleft()[1]))
            self._tidy(channel, mailbox)
        return surplus

    def time_left(self) -> float | None:
        """Return the seconds until all messages have expired; None if they have."""
        left = self._expires - time.monotonic() + _EXPIRED_AFTER_SECONDS
        return left if left > 0 else None

    def end(self) -> None:
        """Let the threads end, soon. For finalisers, which must not take a lock."""
        self.receiver.end()

    def close(self, timeout: float) -> None:
        """End the threads within ``timeout`` seconds. Waiters get ``LayerClosed``."""
        fork.check()
        self.receiver.close(timeout)

    def clear(self) -> None:
        """Drop all messages."""
        with self.lock:
            self._copier.clear()
            for channel, mailbox in list(self.by_channel.items()):
                mailbox.messages.clear()
                self._tidy(channel, mailbox)

    def _tidy(self, channel: str, mailbox: Mailbox) -> None:
        if not (mailbox.messages or mailbox.waiters or mailbox.notified):
            self.by_channel.pop(channel, None)
