"""``RedisLocalChannelLayer``: normal channels on this machine, the rest on Redis."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from typing import TYPE_CHECKING, Annotated, Union

from asgi_redis.connection import Shard, run_plan
from asgi_redis.engine.delayed import DelayedMessages
from asgi_redis.engine.inspection import LocalInspector, RedisInspector
from asgi_redis.engine.local_receiver import LocalReceiver, StoreSource
from asgi_redis.exceptions import ConfigurationError
from asgi_redis.layers.base import BaseChannelLayer
from asgi_redis.layers.cluster import ClusterOptions, cluster_shards
from asgi_redis.layers.from_setting import layer_from_setting
from asgi_redis.layers.options import Option, RedisOptions, SharedOptions, resolve, select, takes
from asgi_redis.layers.redis import RedisChannelLayer, server_shards
from asgi_redis.layers.store import StoreChannelLayer
from asgi_redis.process.awaiting import refuse_await
from asgi_redis.wire import Keys, Witness
from asgi_redis.wire.message import ChannelStatistics, Counter, GlobalStatistics, Message
from asgi_redis.wire.names import is_normal
from asgi_redis.wire.statistics import added_up

if TYPE_CHECKING:
    from typing_extensions import Unpack


LocalLayer = Union[StoreChannelLayer, Mapping[str, object], None]


class LocalOptions(RedisOptions, ClusterOptions, total=False):
    """Options of ``RedisLocalChannelLayer``; ``shards`` are those of a Redis Cluster."""

    local_layer: Annotated[
        LocalLayer,
        Option(
            "The layer of the normal channels, which needs no server: the object, or a dict of ``BACKEND``, the "
            "dotted path of its class, and ``CONFIG``, its options; by default an ``IPCChannelLayer``.",
            example='{"BACKEND": "asgi_redis.IPCChannelLayer", "CONFIG": {"path": "/run/mysite"}}',
        ),
    ]


class RedisLocalChannelLayer(RedisChannelLayer):
    """
    A ``RedisChannelLayer`` whose normal channels are on this machine.

    Messages to normal channels go to ``local_layer``: work is done on the machine that takes it in. Channels with
    ``!`` or ``?`` in their names and all groups are on Redis, and reach every machine. A group may have normal
    channels as members: they get its messages on the machine that sends to the group. A receive of both kinds waits
    for both at once; it returns messages of one kind, and each kind comes first in turn. An outage of one side does
    not stop a ``reader`` on the other.

    A local layer that is made from a ``CONFIG`` takes over the prefix, expiry, capacities and keys of this layer,
    unless its own ``CONFIG`` sets them. A layer that is given as an object keeps its options.

    Raises ``ImportError`` where the local layer needs a package that is not installed.
    """

    @takes(LocalOptions)
    def __init__(self, **options: Unpack[LocalOptions]) -> None:
        settings = resolve(self, LocalOptions, options)
        self.stats_prefix = settings["stats_prefix"]
        self._set_up(settings, *_shards(settings, options))
        given = settings["local_layer"]
        self._local = layer_from_setting(
            {"BACKEND": "asgi_redis.IPCChannelLayer"} if given is None else given,
            "local_layer",
            StoreChannelLayer,
            "a layer that needs no server",
            select(SharedOptions, options),
        )
        self.crosses_processes = self._local.crosses_processes
        remote = RedisInspector(
            self._shards,
            self._keys,
            self.decoder,
            self,
            self.random_prefix_length,
            lambda queue: not is_normal(queue),
        )
        self.inspector = LocalInspector(remote, self._local.inspector)
        store = StoreSource(self._local, self._local.receiver)
        self._receiver = LocalReceiver(store, self._shards, self._keys, self.decoder, self, self._counts)
        self.delayed = DelayedMessages(
            self._shards, self._keys, self._serializer, self, self.encoder, self._local.send
        )

    @property
    def local_layer(self) -> StoreChannelLayer:
        """The layer of the normal channels."""
        return self._local

    def get_capacity(self, channel: str) -> int:
        """Return the capacity of ``channel``, on its side."""
        return self._local.get_capacity(channel) if is_normal(channel) else super().get_capacity(channel)

    # Sending and receiving

    def send(self, channel: str, message: Message) -> None:
        """Put ``message`` at the end of ``channel``, on its side."""
        refuse_await()
        if isinstance(channel, str) and is_normal(channel):
            self._local.send(channel, message)
        else:
            super().send(channel, message)

    def repeatable_send(self, channel: str, message: Message, witness: Witness) -> Callable[[], None] | None:
        """Return a function that sends ``message`` to Redis; None for a normal channel."""
        return None if is_normal(channel) else super().repeatable_send(channel, message, witness)

    @property
    def undecodable_count(self) -> int:
        """How many messages this process dropped that could not be decoded, on both sides."""
        return self.decoder.undecodable_count + self._local.decoder.undecodable_count

    # Groups

    def send_group(self, group: str, message: Message, exclude: Collection[str] = ()) -> int:
        """
        Send to the channels of ``group``, as ``RedisChannelLayer.send_group`` does.

        Normal channels get the message on this machine only, no matter which machine has added them.
        """
        refuse_await()
        if self.sends_each:
            return BaseChannelLayer.send_group(self, group, message, exclude)
        self.check_message(message)
        members = run_plan(self.plans.receivers(group, exclude))
        local = [name for name in map(bytes.decode, members) if is_normal(name)]
        remote = [name for name in members if not is_normal(name.decode())] if local else members
        dropped = 0
        if local:
            # A message that Redis refuses must raise its error before any is sent.
            next(self.plans.send_to_members(remote, message), None)
            dropped = self._local.send_to_all(local, message)
        dropped += run_plan(self.plans.send_to_members(remote, message))
        self.log_dropped(dropped, len(members), group)
        return dropped

    group_send = send_group

    # Statistics and flush

    def count(self, channel: str, counter: Counter, number: int = 1) -> None:
        """Add to a counter of ``channel``, on its side."""
        if is_normal(channel):
            self._local.count(channel, counter, number)
        else:
            super().count(channel, counter, number)

    def flush_counts(self) -> None:
        """Write the counts of this process, on both sides."""
        super().flush_counts()
        self._local.flush_counts()

    def global_statistics(self) -> GlobalStatistics:
        """Return the counters of all channels, on both sides."""
        return added_up([self._local.global_statistics(), super().global_statistics()])

    def channel_statistics(self, channel: str) -> ChannelStatistics:
        """Return the counters of ``channel``, on its side."""
        if isinstance(channel, str) and is_normal(channel):
            return self._local.channel_statistics(channel)
        return super().channel_statistics(channel)

    def many_channel_statistics(self, channels: Iterable[str]) -> dict[str, ChannelStatistics]:
        """Return the ``channel_statistics`` of each channel, on its side."""
        names = list(channels)
        local = {name: self._local.channel_statistics(name) for name in names if is_normal(name)}
        remote = [name for name in names if name not in local]
        return {**local, **super().many_channel_statistics(remote)}

    def flush(self) -> None:
        """Delete all messages, groups and counters, on both sides."""
        refuse_await()
        super().flush()
        self._local.flush()

    def close(self) -> None:
        """Release connections and files, on both sides. The layer stays usable."""
        super().close()
        self._local.close()

    def __str__(self) -> str:
        return f"{type(self).__name__}({self._place()}, local_layer={self._local})"


def _shards(settings: LocalOptions, given: LocalOptions) -> tuple[list[Shard], list[Keys]]:
    if settings["shards"] is None:
        if settings["address_remap"] is not None:
            raise ConfigurationError("address_remap is for a Redis Cluster, which needs the setting shards")
        return server_shards(settings)
    for name in ("host", "port", "db", "stats_prefix"):
        if name in given:
            raise ConfigurationError(f"{name} has no meaning with shards, which says that hosts are a Redis Cluster")
    return cluster_shards(settings)
