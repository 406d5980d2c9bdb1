"""``RedisChannelLayer``: the ASGI 1.x channel layer interface, as blocking calls."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import TYPE_CHECKING, Any

from asgi_redis import wire
from asgi_redis.connection import Shard, parse_hosts, run_plan
from asgi_redis.engine.delayed import DelayedMessages
from asgi_redis.engine.plans import RedisPlans
from asgi_redis.engine.reader import Reader
from asgi_redis.engine.receiver import Receiver
from asgi_redis.engine.statistics import Statistics
from asgi_redis.layers.base import BaseChannelLayer
from asgi_redis.layers.options import CommonOptions, RedisOptions, resolve, select, takes
from asgi_redis.process.awaiting import refuse_await
from asgi_redis.wire.message import Batch, ChannelStatistics, GlobalStatistics, Message
from asgi_redis.wire.names import is_channel_name
from asgi_redis.wire.send import CHANNEL_COUNTERS_SECONDS, GLOBAL_COUNTERS_SECONDS

if TYPE_CHECKING:
    from typing_extensions import Unpack


class RedisChannelLayer(BaseChannelLayer):
    """
    A channel layer over one or more Redis servers.

    One object may be shared by all threads and greenlets, and by processes that are forked later.
    """

    @takes(RedisOptions)
    def __init__(self, **options: Unpack[RedisOptions]) -> None:
        settings = resolve(self, RedisOptions, options)
        self.random_prefix_length = settings["random_prefix_length"]
        super().__init__(**select(CommonOptions, settings))
        self.prefix = settings["prefix"]
        self.stats_prefix = settings["stats_prefix"]
        shorthand = {"host": settings["host"], "port": settings["port"], "db": settings["db"]}
        hosts = parse_hosts(settings["hosts"], settings["connection_kwargs"], shorthand)
        self._shards = [Shard(host) for host in hosts]
        self._keys = wire.Keys(self.prefix, self.stats_prefix)
        self._operations = wire.ReceiveOperations(self._keys, self.expiry)
        self._receiver = Receiver(self._shards, self._keys, self._operations, self.decoder, self)
        self.plans = RedisPlans(self._shards, self._keys, self.encoder, self)
        """The calls as plans, for another runner than this layer's blocking one."""
        delaying = wire.DelayOperations(self._keys, self.expiry)
        self.delayed = DelayedMessages(self._shards, delaying, self._serializer, self, self.encoder)
        counting = wire.StatisticsOperations(self._keys, self.expiry)
        self._statistics = Statistics(self._shards, self._keys, counting)

    delayed: DelayedMessages

    # What asgi_redis 1.4.3 had, too

    global_stats_key = "#global#"
    global_statistics_expiry = GLOBAL_COUNTERS_SECONDS
    channel_statistics_expiry = CHANNEL_COUNTERS_SECONDS

    @property
    def hosts(self) -> list[str]:
        """The address of each shard, without user and password."""
        return [str(shard.host) for shard in self._shards]

    @property
    def ring_size(self) -> int:
        """The number of shards."""
        return len(self._shards)

    def consistent_hash(self, value: str | bytes) -> int:
        """Returns the position of the shard that a group or a queue of this name is on."""
        return wire.shard_of(value.encode() if isinstance(value, str) else value, len(self._shards))

    # Sending

    def send(self, channel: str, message: Message) -> None:
        """
        Puts ``message`` at the end of ``channel``, in one round trip.

        Raises ``ChannelFull``, ``MessageTooLarge``, ``TypeError`` for a wrong name or value, ``ValueError`` for a
        reserved key. After a ``redis.exceptions.ConnectionError`` or ``TimeoutError`` the message may or may not have
        been sent.
        """
        refuse_await()
        run_plan(self.plans.send(channel, message))

    # Receiving

    def receive_batch(self, channels: Collection[str], limit: int, timeout: float = 0) -> Batch:
        """
        Takes up to ``limit`` messages at once, one from each channel in turn; returns (channel, message) tuples.

        Where there is none, waits up to ``timeout`` seconds for one.
        """
        refuse_await()
        self.check_receive(channels, limit, timeout)
        names = tuple(channels)
        return self._receiver.receive(names, limit, timeout) if names else []

    def reader(self) -> Reader:
        """Returns what a worker receives with: one thread, and as many servers as can be reached."""
        return Reader(self._receiver)

    def unblock(self) -> None:
        """End all waits of this process in a receive call, as if their time had run out."""
        self._receiver.unblock()

    def requeue(self, channel: str, message: Message) -> None:
        """Give a message that was received and not used to the next reader of its channel in this process."""
        self._receiver.buffer(channel, message)

    # Groups

    def group_add(self, group: str, channel: str) -> None:
        """Adds ``channel`` to ``group`` for ``group_expiry`` seconds, or renews that, in one round trip."""
        refuse_await()
        run_plan(self.plans.group_add(group, channel))

    def group_discard(self, group: str, channel: str) -> None:
        """Removes ``channel`` from ``group``, if it is in there, in one round trip."""
        refuse_await()
        run_plan(self.plans.group_discard(group, channel))

    def group_channels(self, group: str) -> list[str]:
        """Returns the channels of ``group`` whose membership has not expired."""
        names = [name.decode() for name in run_plan(self.plans.group_members(group))]
        return list(filter(is_channel_name, names))

    def send_group(self, group: str, message: Message) -> int:
        """
        Sends ``message`` to every channel of ``group``, in two round trips; returns for how many it was dropped.

        Channels that are full are left out and counted, and never raise ``ChannelFull``. Raises as ``send`` does
        otherwise: ``MessageTooLarge``, ``TypeError`` and ``ValueError`` before anything was sent; and
        ``redis.exceptions.ResponseError`` for a queue that is a key of another type, when all the others were served.
        """
        refuse_await()
        if self.sends_each:
            return BaseChannelLayer.send_group(self, group, message)
        return run_plan(self.plans.group_send(group, message))

    group_send = send_group

    # Statistics and flush

    def global_statistics(self) -> GlobalStatistics:
        """
        Returns the counters of all channels on all shards.

        ``messages_count`` sent, ``channel_full_count`` refused and ``messages_expired`` found expired are kept for
        about a day after the last message.
        """
        return self._statistics.of_all()

    def channel_statistics(self, channel: str) -> ChannelStatistics:
        """
        Returns the counters of ``channel`` on all its shards, and what waits in it now.

        ``messages_count`` sent, ``channel_full_count`` refused and ``messages_expired`` found expired are kept for
        about an hour after the last message. What goes with its queue, ``expiry`` after the last message in it, is
        not found. ``messages_pending`` is a number of messages, ``messages_max_age`` the age of the oldest, in
        seconds.
        """
        self.valid_channel_name(channel)
        return self._statistics.of_channel(self.non_local_name(channel))

    def many_channel_statistics(self, channels: Iterable[str]) -> dict[str, ChannelStatistics]:
        """
        Returns the ``channel_statistics`` of each of ``channels``, in one round trip for each shard.

        A channel that Redis refuses, for a key of another type, is left out. Raises ``redis.exceptions.RedisError``
        for a shard that cannot be reached.
        """
        names = {channel: self.non_local_name(channel) for channel in channels if self.valid_channel_name(channel)}
        found = self._statistics.of_channels(dict.fromkeys(names.values()))
        return {channel: found[name] for channel, name in names.items() if name in found}

    def flush(self) -> None:
        """Deletes all messages, groups and counters under this layer's prefixes, on all shards."""
        refuse_await()
        self._statistics.flush()
        self._receiver.clear_buffer()

    # Serialisation

    @property
    def crypter(self) -> Any:
        """What encrypts and decrypts, or None: the ``MultiFernet`` of ``symmetric_encryption_keys``."""
        return getattr(self._serializer, "crypter", None)

    def close(self) -> None:
        """Closes the connections that are not in use. The layer stays usable, and connects anew."""
        for shard in self._shards:
            shard.drop_idle()

    def __str__(self) -> str:
        return f"{type(self).__name__}(hosts={[shard.host for shard in self._shards]})"
