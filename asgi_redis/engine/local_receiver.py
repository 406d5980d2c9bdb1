"""Receiving from Redis and from this machine at once."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from redis.exceptions import RedisError

from asgi_redis.connection import Shard
from asgi_redis.engine.codec import MessageDecoder
from asgi_redis.engine.counts import Counts
from asgi_redis.engine.limits import exhausted
from asgi_redis.engine.receive_call import ReceiveCall, Turn
from asgi_redis.engine.receiver import Receiver
from asgi_redis.engine.rules import CallRules
from asgi_redis.engine.stores.receiver import StoreReceiver
from asgi_redis.engine.stores.store import StoreListener
from asgi_redis.wire import ChannelSet, Keys
from asgi_redis.wire.message import Batch
from asgi_redis.wire.names import is_normal

T = TypeVar("T")


class StoreSource:
    """The store of this machine as a source; the log calls it ``name``."""

    def __init__(self, name: object, receiver: StoreReceiver) -> None:
        self.name, self.place = name, name
        self.receiver = receiver

    def take(self, call: ReceiveCall, names: tuple[str, ...]) -> Batch:
        """Take the messages that are there. Raises the errors of the store."""
        if call.listener is not None:
            return self.receiver.take(call.listener, names, call.limit, call.limits)
        return self.receiver.receive(names, call.limit, 0, call.limits)

    def listen(self, call: ReceiveCall, names: tuple[str, ...]) -> StoreListener:
        """Return a listener: readable when there may be more messages."""
        full = exhausted(call.limits)
        return self.receiver.store.listen([name for name in names if name not in full])

    def probe(self) -> object:
        return self.receiver.store.global_statistics()

    def try_to_wait(self) -> None:
        """Do nothing: where messages can be taken, one can wait."""

    def key(self, queue: bytes) -> bytes:
        return queue

    def wrong_types(self, queues: Sequence[bytes]) -> dict[bytes, bytes]:
        """Return no queues: a store has nothing else."""
        return {}

    def settle(self, deadline: float) -> bool:
        """Return True: a store owes nothing once a call has ended."""
        return True


class LocalReceiver(Receiver):
    """
    The reading side of one layer whose normal channels are in ``source``.

    All messages that one call returns are from one side, as messages of the store cannot be put back. Each side comes
    first in turn, and a wait is for both at once.
    """

    def __init__(
        self,
        source: StoreSource,
        shards: Sequence[Shard],
        keys: Sequence[Keys],
        decoder: MessageDecoder,
        rules: CallRules,
        counts: Counts,
    ) -> None:
        super().__init__(shards, keys, decoder, rules, counts)
        self._store = source
        self._number = len(self.sources)
        self.sources.append(source)

    def buffer(self, channel: str, message: dict[str, Any]) -> None:
        if is_normal(channel):
            self._store.receiver.buffer(channel, message)
            self.wake()
        else:
            super().buffer(channel, message)

    def _make_channel_set(self, channels: tuple[str, ...]) -> ChannelSet:
        self._check(channels)
        here = tuple(dict.fromkeys(filter(is_normal, channels)))
        return ChannelSet([name for name in channels if not is_normal(name)], len(self._shards), here)

    def _look(self, call: ReceiveCall, turn: Turn) -> Batch:
        here_first = call.channels.is_here_first()
        received = self._take_here(call) if here_first else []
        if received or (here_first and not turn):
            return received
        try:
            return super()._look(call, turn) or self._take_here(call)
        except RedisError:
            received = self._take_here(call)
            if not received:
                raise
            return received

    def _wait(self, call: ReceiveCall, turn: Turn, timeout: float) -> Batch:
        with contextlib.ExitStack() as stack:
            listener = self._guarded(call, self._store.listen)
            if listener is not None:
                call.listener = stack.enter_context(listener)
            try:
                return super()._wait(call, turn, timeout) or self._take_here(call)
            finally:
                call.listener = None

    def _look_here(self, call: ReceiveCall) -> Batch:
        return super()._look_here(call) or self._take_here(call)

    def _take_here(self, call: ReceiveCall) -> Batch:
        received = self._guarded(call, self._store.take)
        if received is None:
            return []
        call.policy.served(self._number)
        return received

    def _guarded(self, call: ReceiveCall, do: Callable[[ReceiveCall, tuple[str, ...]], T]) -> T | None:
        """Return the result of a call of the store; None where there is none."""
        names, policy = call.channels.here, call.policy
        if not names or self._number in policy.absent:
            return None
        try:
            return do(call, names)
        except Exception as error:  # noqa: BLE001  each store has its own errors, and Redis is still there
            policy.failed(self._number, error)
            return None
