"""The calls of a channel layer that needs no server, over a store."""

from __future__ import annotations

import functools
from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING

from asgi_redis.engine.stores.inspector import StoreInspector
from asgi_redis.engine.stores.receiver import StoreReader, StoreReceiver
from asgi_redis.engine.stores.registry import StoreRegistry
from asgi_redis.engine.stores.store import Store
from asgi_redis.exceptions import InvalidName
from asgi_redis.layers.base import BaseChannelLayer
from asgi_redis.layers.options import CommonOptions
from asgi_redis.process import fork
from asgi_redis.process.awaiting import refuse_await
from asgi_redis.wire.message import Batch, ChannelStatistics, Counter, GlobalStatistics, Message, statistics_of

if TYPE_CHECKING:
    from typing_extensions import Unpack

_CHUNK = 1000  # channels of a group that are served in one step


class StoreChannelLayer(BaseChannelLayer):
    """The base of the layers without a server. Threads and greenlets may share it."""

    inspector: StoreInspector

    def __init__(self, store: Store, **options: Unpack[CommonOptions]) -> None:
        super().__init__(**options)
        self.store = store
        """The store, for tests and tools: it knows nothing of names and serialisers."""
        self._encode = self.encoder.encode
        self.receiver = StoreReceiver(store, self.decoder, self)
        """The receiving side, for a layer that receives from Redis, too."""
        self.decoder.on_drop = functools.partial(self.count, counter="messages_undecodable")
        self.registry = StoreRegistry(store)
        self.inspector = StoreInspector(store, self.decoder, self)
        self._route = functools.lru_cache(maxsize=1024 if self.keeps_capacities else 0)(self._make_route)

    # Sending

    def send(self, channel: str, message: Message) -> None:
        """Put ``message`` at the end of ``channel``, unless it or the store is full."""
        refuse_await()
        if not isinstance(channel, str):
            self.valid_channel_name(channel)
        self.check_message(message)
        queue, capacity = self._route(channel)
        pushed = self.store.push([(queue, channel, self._encode(message), capacity)], self.expiry)[0]
        if pushed is None:
            raise self.ChannelFull(f"no room for a message on channel {channel}: the memory of {self} is used up")
        if not pushed:
            raise self.ChannelFull(f"channel {channel} holds {capacity} messages, its capacity")

    def _make_route(self, channel: str) -> tuple[str, int]:
        self.valid_channel_name(channel)
        return self.non_local_name(channel), self.get_capacity(channel)

    # Receiving

    def receive_batch(self, channels: Collection[str], limit: int, timeout: float = 0) -> Batch:
        refuse_await()
        self.check_receive(channels, limit, timeout)
        names = tuple(channels)
        generation = fork.check()
        received = self.receiver.receive(names, limit, timeout) if names else []
        if fork.generation != generation:
            raise fork.forked()
        return received

    def reader(self) -> StoreReader:
        return StoreReader(self.receiver)

    def unblock(self) -> None:
        self.receiver.unblock()

    def requeue(self, channel: str, message: Message) -> None:
        """Give an unused message to the next reader of its channel in this process."""
        self.receiver.buffer(channel, message)
        self.count(channel, "messages_requeued")

    # Groups

    def group_add(self, group: str, channel: str) -> None:
        refuse_await()
        self.valid_group_name(group)
        self.valid_channel_name(channel)
        self.store.group_add(group, channel, self.group_expiry)

    def group_discard(self, group: str, channel: str) -> None:
        refuse_await()
        self.valid_group_name(group)
        self.valid_channel_name(channel)
        self.store.group_discard(group, channel)

    def group_channels(self, group: str) -> list[str]:
        self.valid_group_name(group)
        return self.store.group_channels(group, self.group_expiry)

    def send_group(self, group: str, message: Message, exclude: Collection[str] = ()) -> int:
        refuse_await()
        if self.sends_each:
            return BaseChannelLayer.send_group(self, group, message, exclude)
        self.valid_group_name(group)
        self.check_message(message)
        excluded = self.check_exclude(exclude)
        channels = self.store.group_channels(group, self.group_expiry)
        if excluded:
            channels = [channel for channel in channels if channel not in excluded]
        dropped = self.send_to_all(channels, message)
        self.log_dropped(dropped, len(channels), group)
        return dropped

    group_send = send_group

    def send_to_all(self, channels: Sequence[str], message: Message) -> int:
        """
        Send ``message`` to ``channels``; return the number of them that dropped it.

        Raises as ``send_group`` does. A name that is not valid counts as dropped, too.
        """
        entry, route = self._encode(message), self._route
        try:
            entries = [
                (queue, channel, entry, capacity) for channel in channels for queue, capacity in [route(channel)]
            ]
        except InvalidName:
            valid = [channel for channel in channels if self._is_valid(channel)]
            return len(channels) - len(valid) + self.send_to_all(valid, message)
        pushed = 0
        for start in range(0, len(entries), _CHUNK):
            pushed += self.store.push(entries[start : start + _CHUNK], self.expiry).count(True)
        return len(channels) - pushed

    def _is_valid(self, channel: str) -> bool:
        try:
            self._route(channel)
        except InvalidName:
            return False
        return True

    # Statistics and flush

    def count(self, channel: str | None, counter: Counter, number: int = 1) -> None:
        """Add to a counter of ``channel``, or of none where that is not known."""
        self.store.count(self.non_local_name(channel or ""), counter, number)

    def global_statistics(self) -> GlobalStatistics:
        return statistics_of(self.store.global_statistics())

    def channel_statistics(self, channel: str) -> ChannelStatistics:
        """Return its statistics; a single-reader channel has them until it is empty."""
        self.valid_channel_name(channel)
        counters, pending, oldest = self.store.channel_statistics(self.non_local_name(channel), self.expiry)
        return {**statistics_of(counters), "messages_pending": pending, "messages_max_age": oldest}

    def flush(self) -> None:
        refuse_await()
        self.store.flush()
        self.receiver.clear_buffer()

    def close(self) -> None:
        self.store.close()
