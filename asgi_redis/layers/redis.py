"""``RedisChannelLayer``: messages and groups on one or more Redis servers."""

from __future__ import annotations

import functools
from collections.abc import Callable, Collection, Iterable, Sequence
from typing import TYPE_CHECKING, Any

from asgi_redis import wire
from asgi_redis.connection import Server, Shard, parse_hosts, run_plan
from asgi_redis.engine.counts import Counts
from asgi_redis.engine.plans import RedisPlans
from asgi_redis.engine.reader import Reader
from asgi_redis.engine.receiver import Receiver
from asgi_redis.engine.statistics import Statistics
from asgi_redis.layers.base import BaseChannelLayer
from asgi_redis.layers.options import CommonOptions, QueueOptions, RedisOptions, resolve, select, takes
from asgi_redis.process.awaiting import refuse_await
from asgi_redis.process.lazy import LazyAttribute
from asgi_redis.wire import Witness
from asgi_redis.wire.message import Batch, ChannelStatistics, Counter, GlobalStatistics, Message
from asgi_redis.wire.names import is_channel_name
from asgi_redis.wire.send import CHANNEL_COUNTERS_SECONDS, GLOBAL_COUNTERS_SECONDS

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from asgi_redis.engine.delayed import DelayedMessages
    from asgi_redis.engine.facts import Inspector, Registry


class RedisChannelLayer(BaseChannelLayer):
    """
    A channel layer over one or more Redis servers.

    One object may be shared by all threads and greenlets, and by processes that are forked later.
    """

    @takes(RedisOptions)
    def __init__(self, **options: Unpack[RedisOptions]) -> None:
        settings = resolve(self, RedisOptions, options)
        self.stats_prefix = settings["stats_prefix"]
        self._set_up(settings, *server_shards(settings))

    def _set_up(self, settings: QueueOptions, shards: Sequence[Shard], keys: Sequence[wire.Keys]) -> None:
        """Make the parts of the layer, over shards where the keys are those of ``keys``."""
        self.random_prefix_length = settings["random_prefix_length"]
        super().__init__(**select(CommonOptions, settings))
        self.prefix = settings["prefix"]
        self._shards = shards
        self._keys = keys
        self._statistics = Statistics(shards, keys, self.expiry)
        self._counts = Counts(self._statistics.add)
        self.decoder.on_drop = functools.partial(self._counts.add, counter="messages_undecodable")
        self._receiver = Receiver(shards, keys, self.decoder, self, self._counts)
        self.plans = RedisPlans(shards, keys, self.encoder, self)
        """The calls as plans, for another runner than this layer's blocking one."""

    # Few processes need these parts, and many are short: their modules are imported at first use.

    @LazyAttribute
    def delayed(self) -> DelayedMessages:
        from asgi_redis.engine.delayed import DelayedMessages

        return DelayedMessages(self._shards, self._keys, self._serializer, self, self.encoder)

    @LazyAttribute
    def inspector(self) -> Inspector:
        from asgi_redis.engine.inspection import RedisInspector

        return RedisInspector(self._shards, self._keys, self.decoder, self, self.random_prefix_length)

    @LazyAttribute
    def registry(self) -> Registry:
        from asgi_redis.engine.registry import RedisRegistry

        return RedisRegistry(self._shards, self._keys)

    # What asgi_redis 1.4.3 had, too

    global_stats_key = "#global#"
    global_statistics_expiry = GLOBAL_COUNTERS_SECONDS
    channel_statistics_expiry = CHANNEL_COUNTERS_SECONDS

    @property
    def hosts(self) -> list[str]:
        """The address of each shard, or start node of a cluster, without password."""
        names: Sequence[object] = self._shards[0].start_nodes or [shard.name for shard in self._shards]
        return [str(name) for name in names]

    @property
    def ring_size(self) -> int:
        """The number of shards."""
        return len(self._shards)

    def consistent_hash(self, value: str | bytes) -> int:
        """Return the position of the shard of a group or a pinned queue."""
        return wire.shard_of(value.encode() if isinstance(value, str) else value, len(self._shards))

    # Sending

    def send(self, channel: str, message: Message) -> None:
        """
        Put ``message`` at the end of ``channel``, in one round trip.

        Raises as ``BaseChannelLayer.send`` does. After a ``redis.exceptions.ConnectionError`` or ``TimeoutError`` the
        message may or may not have been sent.
        """
        refuse_await()
        run_plan(self.plans.send(channel, message))

    def repeatable_send(self, channel: str, message: Message, witness: Witness) -> Callable[[], None] | None:
        """Return a function that sends ``message``; see ``wire/lua/send_once.lua``."""
        if self.sends_each:
            return None
        attempt = self.plans.once(channel, message, witness)
        return lambda: run_plan(attempt())

    # Receiving

    def receive_batch(self, channels: Collection[str], limit: int, timeout: float = 0) -> Batch:
        """Take several messages at once, in one round trip for each shard."""
        refuse_await()
        self.check_receive(channels, limit, timeout)
        names = tuple(channels)
        return self._receiver.receive(names, limit, timeout) if names else []

    def reader(self) -> Reader:
        """Return a reader for one thread, which leaves out servers that fail."""
        return Reader(self._receiver)

    def unblock(self) -> None:
        self._receiver.unblock()

    def requeue(self, channel: str, message: Message) -> None:
        """Keep a message that was received in vain for the next reader in this process."""
        self._receiver.buffer(channel, message)
        self.count(channel, "messages_requeued")

    # Groups

    def group_add(self, group: str, channel: str) -> None:
        """Add ``channel`` to ``group`` or renew its membership, in one round trip."""
        refuse_await()
        run_plan(self.plans.group_add(group, channel))

    def group_discard(self, group: str, channel: str) -> None:
        """Remove ``channel`` from ``group``, if it is a member, in one round trip."""
        refuse_await()
        run_plan(self.plans.group_discard(group, channel))

    def group_channels(self, group: str) -> list[str]:
        names = [name.decode() for name in run_plan(self.plans.group_members(group))]
        return list(filter(is_channel_name, names))

    def group_count(self, group: str) -> int:
        """Return the number of memberships that have not expired, in one round trip."""
        if self.sends_each:
            return BaseChannelLayer.group_count(self, group)
        return run_plan(self.plans.group_count(group))

    def send_group(self, group: str, message: Message, exclude: Collection[str] = ()) -> int:
        """
        Send ``message`` to the channels of ``group``, in two round trips.

        One is enough for few channels on the shard of the group, which are the same as at the two sends before.

        Raises ``redis.exceptions.ResponseError`` where the key of a queue has another type; all others were served.
        """
        refuse_await()
        if self.sends_each:
            return BaseChannelLayer.send_group(self, group, message, exclude)
        return run_plan(self.plans.group_send(group, message, exclude))

    group_send = send_group

    # Statistics and flush

    def count(self, channel: str, counter: Counter, number: int = 1) -> None:
        self._counts.add(channel, counter, number)
        self._counts.write_soon()

    def flush_counts(self) -> None:
        self._counts.flush()

    def global_statistics(self) -> GlobalStatistics:
        self._counts.flush()
        return self._statistics.of_all()

    def channel_statistics(self, channel: str) -> ChannelStatistics:
        """
        Return the statistics of ``channel`` on all its shards.

        Messages that go with their queue, ``expiry`` seconds after its last message, are not counted as expired.
        """
        self.valid_channel_name(channel)
        self._counts.flush()
        return self._statistics.of_channel(self.non_local_name(channel))

    def many_channel_statistics(self, channels: Iterable[str]) -> dict[str, ChannelStatistics]:
        """
        Return the statistics of each channel, in one round trip for each shard.

        A channel whose key has another type is left out. Raises ``redis.exceptions.RedisError`` for a shard that
        cannot be reached.
        """
        names = {channel: self.non_local_name(channel) for channel in channels if self.valid_channel_name(channel)}
        self._counts.flush()
        found = self._statistics.of_channels(dict.fromkeys(names.values()))
        return {channel: found[name] for channel, name in names.items() if name in found}

    def flush(self) -> None:
        """Delete all messages, groups and counters under the layer's prefixes."""
        refuse_await()
        self._counts.flush()
        self._statistics.flush()
        self._receiver.clear_buffer()

    # Serialisation

    @property
    def crypter(self) -> Any:
        """The ``MultiFernet`` of ``symmetric_encryption_keys``, or None."""
        return getattr(self._serializer, "crypter", None)

    def close(self) -> None:
        """Close the connections that are not in use. The layer stays usable."""
        self._counts.flush()
        for shard in self._shards:
            shard.drop_idle()

    def __str__(self) -> str:
        return f"{type(self).__name__}({self._place()})"

    def _place(self) -> str:
        shards = f", shards={len(self._shards)}" if self._shards[0].start_nodes else ""
        return f"hosts=[{', '.join(self.hosts)}]{shards}"


def server_shards(settings: RedisOptions) -> tuple[list[Shard], list[wire.Keys]]:
    """Return the shards that are servers, and the keys on each of them."""
    shorthand = {"host": settings["host"], "port": settings["port"], "db": settings["db"]}
    hosts = parse_hosts(settings["hosts"], settings["connection_kwargs"], shorthand)
    keys = wire.Keys(settings["prefix"], settings["stats_prefix"])
    return [Shard(Server(host)) for host in hosts], [keys] * len(hosts)
