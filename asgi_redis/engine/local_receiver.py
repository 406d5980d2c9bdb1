"""How a layer receives from Redis and from this machine: each comes first in turn, and a wait is for both at once."""

from __future__ import annotations

import contextlib
import itertools
import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, TypeVar

from asgi_redis.connection import Shard
from asgi_redis.connection.blocking_pop import Readable
from asgi_redis.engine.caches import ChannelSets
from asgi_redis.engine.codec import MessageDecoder
from asgi_redis.engine.limits import exhausted
from asgi_redis.engine.receive_request import Batch, FailurePolicy, Source
from asgi_redis.engine.receiver import Receiver
from asgi_redis.engine.stores.receiver import StoreReceiver
from asgi_redis.engine.stores.store import StoreListener
from asgi_redis.layers.base import BaseChannelLayer
from asgi_redis.process import fork
from asgi_redis.wire import Keys, ReceiveOperations
from asgi_redis.wire.names import is_normal

T = TypeVar("T")


class LocalReceiver(Receiver):
    """The reading side of one layer; normal channels are those of the layer ``local``."""

    def __init__(
        self,
        local: StoreReceiver,
        shards: Sequence[Shard],
        keys: Keys,
        operations: ReceiveOperations,
        decoder: MessageDecoder,
        rules: BaseChannelLayer,
    ) -> None:
        super().__init__(shards, keys, operations, decoder, rules)
        self._local = local
        self._place = len(shards)  # what a policy calls it
        self._sides = ChannelSets(self._make_sides)

    def receive(
        self,
        channels: tuple[str, ...],
        limit: int,
        timeout: float,
        limits: Mapping[str, int] | None = None,
        policy: FailurePolicy | None = None,
        source: Source | None = None,
        shared: bool = False,
    ) -> Batch:
        """Returns up to ``limit`` messages of ``channels``, all of the same place; waits ``timeout`` seconds."""
        local, remote, turns = self._sides(channels)
        if not local:
            return super().receive(remote, limit, timeout, limits, policy, None, shared)
        fork.check()
        with _LocalSource(self._local, local, limits, policy, self._place) as source:
            # Redis comes first in every other turn, or a busy machine would never look there.
            if not remote or next(turns) % 2:
                received: Batch = source.take(limit)
                if received or (timeout <= 0 and not remote):
                    return received
            return super().receive(remote, limit, timeout, limits, policy, source, shared)

    def buffer(self, channel: str, message: dict[str, Any]) -> None:
        """Keeps a message that nobody took for the next reader of its channel."""
        if is_normal(channel):
            self._local.buffer(channel, message)
            self.wake()
        else:
            super().buffer(channel, message)

    def _make_sides(self, channels: tuple[str, ...]) -> tuple[tuple[str, ...], tuple[str, ...], Iterator[int]]:
        for channel in channels:
            self._rules.valid_channel_name(channel, receive=True)
        names = list(dict.fromkeys(channels))
        local = tuple(name for name in names if is_normal(name))
        remote = tuple(name for name in names if not is_normal(name))
        # From anywhere: whoever comes with other channels each time would always begin with the same place.
        return local, remote, itertools.count(random.randrange(2))


class _LocalSource(contextlib.ExitStack):
    """What one receive looks into, and waits for, beside Redis."""

    def __init__(
        self,
        receiver: StoreReceiver,
        channels: tuple[str, ...],
        limits: Mapping[str, int] | None,
        policy: FailurePolicy | None,
        place: int,
    ) -> None:
        super().__init__()
        self._receiver = receiver
        self._channels = channels
        self._limits = limits
        self._policy = policy
        self._place = place
        self._listener: StoreListener | None = None

    def take(self, limit: int) -> Batch:
        """Returns up to ``limit`` of the messages that are there."""
        taken = self._guarded(self._take, limit)
        if taken is None:
            return []
        if self._policy is not None:
            self._policy.served(self._place)
        return taken

    def listen(self) -> Sequence[Readable]:
        """Returns what becomes readable when there may be more; to be called before looking a last time."""
        listener = self._guarded(self._listen)
        return [] if listener is None else [listener]

    def _guarded(self, call: Callable[..., T], *arguments: Any) -> T | None:
        if self._policy is None:
            return call(*arguments)
        if self._place in self._policy.absent:
            return None
        try:
            return call(*arguments)
        except Exception as error:  # noqa: BLE001  each store has its own, and Redis is still there
            self._policy.failed(self._place, error)
            return None

    def _take(self, limit: int) -> Batch:
        if self._listener is None:
            return self._receiver.receive(self._channels, limit, 0, self._limits)
        return self._receiver.take(self._listener, self._channels, limit, self._limits)

    def _listen(self) -> StoreListener:
        if self._listener is None:
            full = exhausted(self._limits)
            self._listener = self.enter_context(
                self._receiver.store.listen([name for name in self._channels if name not in full])
            )
        return self._listener
