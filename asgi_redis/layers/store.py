"""The calls of a channel layer that needs no server, over a store."""

from __future__ import annotations

import functools
from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING

from asgi_redis.engine.stores.receiver import StoreReader, StoreReceiver
from asgi_redis.engine.stores.store import Store
from asgi_redis.exceptions import InvalidName
from asgi_redis.layers.base import BaseChannelLayer
from asgi_redis.layers.options import CommonOptions
from asgi_redis.process import fork
from asgi_redis.process.awaiting import refuse_await
from asgi_redis.wire.message import Batch, ChannelStatistics, GlobalStatistics, Message

if TYPE_CHECKING:
    from typing_extensions import Unpack

_AT_ONCE = 1000  # channels of a group that are served in one step


class StoreChannelLayer(BaseChannelLayer):
    """What the layers over a store have in common. One object may be shared by all threads and greenlets."""

    def __init__(self, store: Store, **options: Unpack[CommonOptions]) -> None:
        super().__init__(**options)
        self._store = store
        self._encode = self.encoder.encode
        self._receiver = StoreReceiver(store, self.decoder, self)
        self._route = functools.lru_cache(maxsize=1024 if self.keeps_capacities else 0)(self._make_route)

    # Sending

    def send(self, channel: str, message: Message) -> None:
        """
        Puts ``message`` at the end of ``channel``.

        Raises ``ChannelFull``, ``MessageTooLarge``, ``TypeError`` for a wrong name or value, ``ValueError`` for a
        reserved key.
        """
        refuse_await()
        if not isinstance(channel, str):
            self.valid_channel_name(channel)
        self.check_message(message)
        queue, capacity = self._route(channel)
        pushed = self._store.push([(queue, channel, self._encode(message), capacity)], self.expiry)[0]
        if pushed is None:
            raise self.ChannelFull(f"no room for a message on channel {channel}: the memory of {self} is used up")
        if not pushed:
            raise self.ChannelFull(f"channel {channel} holds {capacity} messages, its capacity")

    def _make_route(self, channel: str) -> tuple[str, int]:
        self.valid_channel_name(channel)
        return self.non_local_name(channel), self.get_capacity(channel)

    # Receiving

    def receive_batch(self, channels: Collection[str], limit: int, timeout: float = 0) -> Batch:
        """
        Takes up to ``limit`` messages at once, one from each channel in turn; returns (channel, message) tuples.

        Where there is none, waits up to ``timeout`` seconds for one.
        """
        refuse_await()
        self.check_receive(channels, limit, timeout)
        names = tuple(channels)
        generation = fork.check()
        received = self._receiver.receive(names, limit, timeout) if names else []
        if fork.generation != generation:
            raise fork.forked()
        return received

    def reader(self) -> StoreReader:
        """Returns what a worker receives with, in one thread."""
        return StoreReader(self._receiver)

    def unblock(self) -> None:
        """End all waits of this process in a receive call, as if their time had run out."""
        self._receiver.unblock()

    def requeue(self, channel: str, message: Message) -> None:
        """Give a message that was received and not used to the next reader of its channel in this process."""
        self._receiver.buffer(channel, message)

    # Groups

    def group_add(self, group: str, channel: str) -> None:
        """Adds ``channel`` to ``group`` for ``group_expiry`` seconds, or renews that."""
        refuse_await()
        self.valid_group_name(group)
        self.valid_channel_name(channel)
        self._store.group_add(group, channel, self.group_expiry)

    def group_discard(self, group: str, channel: str) -> None:
        """Removes ``channel`` from ``group``, if it is in there."""
        refuse_await()
        self.valid_group_name(group)
        self.valid_channel_name(channel)
        self._store.group_discard(group, channel)

    def group_channels(self, group: str) -> list[str]:
        """Returns the channels of ``group`` whose membership has not expired."""
        self.valid_group_name(group)
        return self._store.group_channels(group, self.group_expiry)

    def send_group(self, group: str, message: Message) -> int:
        """
        Sends ``message`` to every channel of ``group``; returns for how many it was dropped.

        Channels that are full are left out and counted, and never raise ``ChannelFull``. Raises as ``send`` does
        otherwise: ``MessageTooLarge``, ``TypeError`` and ``ValueError`` before anything was sent.
        """
        refuse_await()
        if self.sends_each:
            return BaseChannelLayer.send_group(self, group, message)
        self.valid_group_name(group)
        self.check_message(message)
        channels = self._store.group_channels(group, self.group_expiry)
        dropped = self.send_to_all(channels, message)
        self.log_dropped(dropped, len(channels), group)
        return dropped

    group_send = send_group

    def send_to_all(self, channels: Sequence[str], message: Message) -> int:
        """
        Sends ``message`` to each of ``channels``; returns for how many it was dropped.

        Raises as ``send_group`` does. A name that breaks the rules is that of no channel, and dropped, too.
        """
        member = self._encode(message)
        entries = []
        for channel in channels:
            try:
                queue, capacity = self._route(channel)
            except InvalidName:
                continue
            entries.append((queue, channel, member, capacity))
        pushed = 0
        for start in range(0, len(entries), _AT_ONCE):
            pushed += self._store.push(entries[start : start + _AT_ONCE], self.expiry).count(True)
        return len(channels) - pushed

    # Statistics and flush

    def global_statistics(self) -> GlobalStatistics:
        """
        Returns the counters of all channels.

        ``messages_count`` are sent, ``channel_full_count`` refused, ``messages_expired`` found expired. They are kept
        for about a day after the last message.
        """
        counters = self._store.global_statistics()
        return {
            "messages_count": counters.sent,
            "channel_full_count": counters.refused,
            "messages_expired": counters.expired,
        }

    def channel_statistics(self, channel: str) -> ChannelStatistics:
        """
        Returns the counters of ``channel``, and what waits in it now.

        ``messages_count`` sent, ``channel_full_count`` refused and ``messages_expired`` found expired are kept for
        about an hour after the last message, those of a single-reader channel until it is empty. ``messages_pending``
        is a number of messages, ``messages_max_age`` the age of the oldest in seconds.
        """
        self.valid_channel_name(channel)
        counters = self._store.channel_statistics(self.non_local_name(channel), self.expiry)
        return {
            "messages_count": counters.sent,
            "messages_pending": counters.pending,
            "messages_max_age": counters.oldest,
            "channel_full_count": counters.refused,
            "messages_expired": counters.expired,
        }

    def flush(self) -> None:
        """Deletes all messages, groups and counters of this layer's store."""
        refuse_await()
        self._store.flush()
        self._receiver.clear_buffer()

    def close(self) -> None:
        """Gives back what the store has open. The layer stays usable."""
        self._store.close()
