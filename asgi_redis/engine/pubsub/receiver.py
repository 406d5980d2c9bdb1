"""Receiving by threads. The listeners handle outages."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Collection, Sequence
from threading import Condition

from asgi_redis.engine.codec import MessageDecoder
from asgi_redis.engine.dropped import FLOOD_SECONDS
from asgi_redis.engine.layer_reader import LayerReader
from asgi_redis.engine.outage import Outage
from asgi_redis.engine.pubsub.subscription import Inbox
from asgi_redis.engine.pubsub.subscriptions import Subscriptions
from asgi_redis.process import fork
from asgi_redis.wire.message import Batch, Limits

_FIRST_CALL_SECONDS = 0.5  # that a first call of a reader waits to be subscribed, at least

_Taken = list[tuple[str, bytes]]


class PubSubReceiver:
    """The receiving side of a layer."""

    def __init__(self, subscriptions: Subscriptions, decoder: MessageDecoder) -> None:
        self._subscriptions = subscriptions
        self._decoder = decoder
        self.start_process()
        fork.register(self)

    def start_process(self) -> None:
        """Start with no waiting threads."""
        self._waiting: set[Condition] = set()
        self._unblocked = 0
        self._turns = itertools.count()

    def receive(self, inboxes: Sequence[Inbox], limit: int, timeout: float) -> Batch:
        """
        Return up to ``limit`` messages; wait ``timeout`` seconds for one.

        Raise the error where an inbox cannot be subscribed to. A later outage is not raised, but waited for.
        """
        deadline = time.monotonic() + timeout
        generation = fork.check()
        self._subscriptions.confirm([inbox for inbox in inboxes if not inbox.confirmed_once])
        until, unblocked = max(deadline, time.monotonic() + FLOOD_SECONDS), self._unblocked
        while True:
            taken = self.take(inboxes, limit, deadline - time.monotonic())
            if fork.generation != generation:
                raise fork.forked()
            received = self._decoder.decode_all(taken)
            if received or not taken or time.monotonic() >= until or self._unblocked != unblocked:
                return received

    def take(
        self,
        inboxes: Sequence[Inbox],
        limit: int,
        timeout: float,
        limits: Limits = None,
        is_ended: Callable[[], bool] | None = None,
    ) -> _Taken:
        """
        Return up to ``limit`` entries; wait ``timeout`` seconds for one.

        They are one from each inbox in turn. Each change of an inbox makes it ask ``is_ended`` whether to return
        before that.
        """
        lock = self._subscriptions.lock
        with lock:
            self._subscriptions.readers.share()
            taken = self._take(inboxes, limit, limits)
            if taken or timeout <= 0 or (is_ended is not None and is_ended()):
                return taken
            deadline, unblocked = time.monotonic() + timeout, self._unblocked
            condition = Condition(lock)
            for inbox in inboxes:
                inbox.waiting.add(condition)
            self._waiting.add(condition)
            try:
                while not taken and self._unblocked == unblocked and not any(inbox.ended for inbox in inboxes):
                    if is_ended is not None and is_ended():
                        break
                    remaining = deadline - time.monotonic()
                    if remaining <= 0:
                        break
                    condition.wait(remaining)
                    taken = self._take(inboxes, limit, limits)
            finally:
                self._waiting.discard(condition)
                for inbox in inboxes:
                    inbox.waiting.discard(condition)
            return taken

    def _take(self, inboxes: Sequence[Inbox], limit: int, limits: Limits) -> _Taken:
        now = time.monotonic()
        full: list[tuple[Inbox, int]] = []
        for inbox in inboxes:
            inbox.read_at, inbox.left = now, False
            if inbox.messages:
                self._subscriptions.dropped_count += inbox.drop_expired(now, self._subscriptions.expiry)
                number = limits.get(inbox.channel, limit) if limits else limit
                full.append((inbox, min(number, len(inbox.messages))))
        if not full:
            return []
        first = next(self._turns) % len(full)
        full = full[first:] + full[:first]
        taken: _Taken = []
        for turn in range(limit):
            full = [one for one in full if one[1] > turn]
            if not full or len(taken) == limit:
                break
            for inbox, _ in full[: limit - len(taken)]:
                taken.append((inbox.channel, inbox.take(now)))
        return taken

    def wake(self) -> None:
        """Let all waiting threads look whether to go on."""
        with self._subscriptions.lock:
            for condition in list(self._waiting):
                condition.notify_all()

    def unblock(self) -> None:
        """End all waits for messages, as if their time had run out."""
        self._unblocked += 1
        self.wake()


class PubSubReader(LayerReader):
    """
    Receives for one thread. Any other may ``unblock`` it.

    ``serving`` is whether the server of a channel could be listened to by the end of the last call; false before the
    first one.
    """

    serving = False

    def __init__(
        self, receiver: PubSubReceiver, listen: Callable[[Collection[str]], list[Inbox]], decoder: MessageDecoder
    ) -> None:
        self._receiver = receiver
        self._listen = listen
        self._decoder = decoder
        self._refused = Outage("Redis, asked to subscribe,")

    def receive_batch(
        self, channels: Collection[str], limit: int, timeout: float = 0, limits: Limits = None, shared: bool = False
    ) -> Batch:
        inboxes = self._listen(channels)
        # The first call, and the first after an outage, return as soon as Redis has confirmed a subscription.
        was_serving = self.serving
        timeout = timeout if was_serving else max(timeout, _FIRST_CALL_SECONDS)

        def is_ended() -> bool:
            return self.woken or (not was_serving and any(inbox.confirmed for inbox in inboxes))

        taken = self._receiver.take(inboxes, limit, timeout, limits, is_ended)
        refusal = next((inbox.refusal for inbox in inboxes if inbox.refusal is not None), None)
        if refusal is not None:
            left = [inbox for inbox in inboxes if not inbox.ended]
            delay = min(timeout, self._refused.failed(refusal))
            taken = taken or self._receiver.take(left, limit, delay, limits, lambda: self.woken)
        elif all(inbox.confirmed for inbox in inboxes):
            self._refused.succeeded()
        self.serving = any(inbox.confirmed for inbox in inboxes)
        self.woken = False
        return self._decoder.decode_all(taken)

    def wake(self) -> None:
        self._receiver.wake()
