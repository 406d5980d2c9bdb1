"""Receiving from a store: look, wait, decode."""

from __future__ import annotations

import itertools
import math
import time
from collections.abc import Collection, Mapping
from typing import cast

from asgi_redis.engine.caches import ChannelSets
from asgi_redis.engine.codec import MessageDecoder
from asgi_redis.engine.dropped import FLOOD_SECONDS
from asgi_redis.engine.fanout import FanOutBuffer, Share
from asgi_redis.engine.layer_reader import LayerReader
from asgi_redis.engine.limits import exhausted
from asgi_redis.engine.rules import CallRules
from asgi_redis.engine.stores.store import Store, StoreListener, Taken
from asgi_redis.exceptions import UndecodableMessage
from asgi_redis.process import fork
from asgi_redis.process.patches import is_patched
from asgi_redis.process.wakeup import poll
from asgi_redis.wire.message import Batch, Limits, Message
from asgi_redis.wire.names import is_channel_name, queue_of


class StoreReceiver:
    """
    The receiving side of a layer over ``store``.

    A layer of both machine-local and other channels takes messages from here with ``take``.
    """

    def __init__(self, store: Store, decoder: MessageDecoder, rules: CallRules) -> None:
        self.store = store
        self._decoder = decoder
        self._rules = rules
        self._queues = ChannelSets(self._make_queues)
        self._turns = itertools.count()
        # Under gevent a loop that only looks would let no other greenlet run.
        self._gives_turns = is_patched("time")
        self.start_process()
        fork.register(self)

    def start_process(self) -> None:
        """Start with nothing: buffered messages and waiting receivers are the parent's."""
        self.clear_buffer()
        self._listeners: set[StoreListener] = set()
        self._unblocked = 0
        self._has_waited = False  # the last call that could: the next one is likely to wait, too

    def receive(
        self,
        channels: tuple[str, ...],
        limit: int,
        timeout: float,
        limits: Limits = None,
        reader: LayerReader | None = None,
    ) -> Batch:
        """
        Return up to ``limit`` messages; wait ``timeout`` seconds for one.

        ``limits`` are lower limits of single channels; 0 leaves one out. To be called after ``fork.check``.
        """
        generation = fork.generation
        unblocked = self._unblocked
        queues = self._queues(channels)
        if limits is not None:
            queues = _with_room(queues, limits)
            limits = {queue_of(name): number for name, number in limits.items()}
        if timeout <= 0 or not self._has_waited:
            received = self._look(self.store, queues, limit, limits)
            if received or timeout <= 0 or self._is_ended(unblocked, reader):
                if self._gives_turns and not received:
                    time.sleep(0)
                return received
        self._has_waited = False  # nor after an error: messages are found also where it cannot wait
        deadline = time.monotonic() + timeout
        waited = False
        with self.store.listen(queues) as listener:
            self._listeners.add(listener)
            try:
                while True:
                    if fork.generation != generation:
                        raise fork.forked()  # before it takes a message that it could not hand out
                    received = self._look(listener, queues, limit, limits)
                    remaining = deadline - time.monotonic()
                    if received or remaining <= 0 or self._is_ended(unblocked, reader):
                        self._has_waited = waited
                        return received
                    poll([listener], min(remaining, listener.look_seconds))
                    waited = True
            finally:
                self._listeners.discard(listener)

    def _is_ended(self, unblocked: int, reader: LayerReader | None) -> bool:
        return self._unblocked != unblocked or (reader is not None and reader.woken)

    def wake(self) -> None:
        """Let all waiting receivers look whether to go on."""
        fork.check()
        for listener in list(self._listeners):
            listener.wake()

    def unblock(self) -> None:
        """End all waits of this process, as if their time had run out."""
        fork.check()
        self._unblocked += 1
        self.wake()

    def buffer(self, channel: str, message: Message) -> None:
        """Keep a message for the next reader of its channel in this process."""
        fork.check()
        self._buffer.add(channel, message, self._rules.expiry)
        self.wake()

    def clear_buffer(self) -> None:
        """Drop the messages of ``buffer``."""
        self._buffer = FanOutBuffer(expired=self._count_expired)

    def _count_expired(self, queue: str, number: int) -> None:
        self.store.count(queue, "messages_expired", number)

    def _make_queues(self, channels: tuple[str, ...]) -> tuple[str, ...]:
        for channel in channels:
            self._rules.valid_channel_name(channel, receive=True)
        return tuple(dict.fromkeys(channels))

    def take(self, listener: StoreListener, channels: tuple[str, ...], limit: int, limits: Limits) -> Batch:
        """Return up to ``limit`` messages; without one, ``listener`` begins to wait."""
        queues = self._queues(channels)
        return self._look(listener, queues if limits is None else _with_room(queues, limits), limit, limits)

    def _look(self, source: Store | StoreListener, queues: tuple[str, ...], limit: int, limits: Limits) -> Batch:
        if len(queues) > 1:  # a busy channel that comes first would let the others starve
            first = next(self._turns) % len(queues)
            queues = queues[first:] + queues[:first]
        if self._buffer.queues:
            shares: list[Share] = []
            self._buffer.take(queues, limit, shares)
            if shares:
                return [(channel, shared.message()) for shared, channel in shares]
        until = math.inf
        while True:
            taken = source.pop(queues, limit, self._rules.expiry, limits)
            received = self._decode(taken)
            if received or not taken:
                return received
            now = time.monotonic()
            until = min(until, now + FLOOD_SECONDS)
            if now >= until:
                if source is not self.store:
                    cast(StoreListener, source).wake()  # there may be more
                return []

    def _decode(self, taken: Taken) -> Batch:
        decoder = self._decoder
        received: Batch = []
        for queue, channel, entry in taken:
            if channel != queue and (not is_channel_name(channel) or queue_of(channel) != queue):
                decoder.drop(queue, UndecodableMessage("the name of another queue's channel"))
                continue
            message = decoder.decode_or_drop(queue, entry)
            if message is not None:
                received.append((channel, message))
        return received


def _with_room(queues: tuple[str, ...], limits: Mapping[str, int]) -> tuple[str, ...]:
    full = exhausted(limits)
    return tuple(name for name in queues if name not in full) if full else queues


class StoreReader(LayerReader):
    """
    Receives for one thread of a worker. Any other may ``unblock`` it.

    ``serving`` is whether the last call has reached the store; false before the first one.
    """

    serving = False

    def __init__(self, receiver: StoreReceiver) -> None:
        self._receiver = receiver

    def receive_batch(
        self, channels: Collection[str], limit: int, timeout: float = 0, limits: Limits = None, shared: bool = False
    ) -> Batch:
        # The first call shows at once that messages are served.
        timeout = timeout if self.serving else 0
        fork.check()
        try:
            received = self._receiver.receive(tuple(channels), limit, timeout, limits, self)
        except BaseException:
            self.serving = False
            raise
        else:
            self.serving = True
            return received
        finally:
            self.woken = False

    def wake(self) -> None:
        self._receiver.wake()
