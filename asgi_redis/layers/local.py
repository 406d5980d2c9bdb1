"""``RedisLocalChannelLayer``: normal channels stay on this machine, everything else goes through Redis."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Annotated, Union

from asgi_redis.connection import run_plan
from asgi_redis.engine.delayed import DelayedMessages
from asgi_redis.engine.local_receiver import LocalReceiver, StoreSource
from asgi_redis.layers.base import BaseChannelLayer
from asgi_redis.layers.from_setting import layer_from_setting
from asgi_redis.layers.options import Option, RedisOptions, SharedOptions, resolve, select, takes
from asgi_redis.layers.redis import RedisChannelLayer
from asgi_redis.layers.store import StoreChannelLayer
from asgi_redis.process.awaiting import refuse_await
from asgi_redis.wire import DelayOperations
from asgi_redis.wire.message import ChannelStatistics, GlobalStatistics, Message
from asgi_redis.wire.names import is_normal

if TYPE_CHECKING:
    from typing_extensions import Unpack


LocalLayer = Union[StoreChannelLayer, Mapping[str, object], None]


class LocalOptions(RedisOptions, total=False):
    """Options of ``RedisLocalChannelLayer``."""

    local_layer: Annotated[
        LocalLayer,
        Option(
            "The layer of the normal channels, which needs no server: the object, or a dict of ``BACKEND``, the "
            "dotted path of its class, and ``CONFIG``, its options; by default an ``IPCChannelLayer``."
        ),
    ]


class RedisLocalChannelLayer(RedisChannelLayer):
    """
    A ``RedisChannelLayer`` whose normal channels are on this machine.

    Messages to normal channels go to ``local_layer``, so that the work that a machine takes in is done there. What
    has a ``!`` or ``?`` in its name, and all groups, are on Redis, and reach every machine. A group may have normal
    channels in it: they get its messages on the machine that sends to the group. A receive of both kinds waits for
    both at once; what it returns is all from one side, and each side comes first in turn. A ``reader`` goes on with
    the local channels while Redis is away, and the other way round.

    A local layer that is made here has the prefix, expiry, capacities, keys and so on of this layer, where its
    ``CONFIG`` says nothing else; one that is given keeps its own.

    Raises ``ImportError`` where the local layer needs a package that is not installed.
    """

    @takes(LocalOptions)
    def __init__(self, **options: Unpack[LocalOptions]) -> None:
        settings = resolve(self, LocalOptions, options)
        super().__init__(**select(RedisOptions, settings))
        given = settings["local_layer"]
        self._local = layer_from_setting(
            {"BACKEND": "asgi_redis.IPCChannelLayer"} if given is None else given,
            "local_layer",
            StoreChannelLayer,
            "a layer that needs no server",
            select(SharedOptions, options),
        )
        self.crosses_processes = self._local.crosses_processes
        self._receiver = LocalReceiver(
            StoreSource(self._local, self._local.receiver),
            self._shards,
            self._keys,
            self._operations,
            self.decoder,
            self,
        )
        delaying = DelayOperations(self._keys, self.expiry)
        self.delayed = DelayedMessages(self._shards, delaying, self._serializer, self, self.encoder, self._local.send)

    @property
    def local_layer(self) -> StoreChannelLayer:
        """The layer of the normal channels."""
        return self._local

    def get_capacity(self, channel: str) -> int:
        """Returns the capacity of ``channel``, there where it is."""
        return self._local.get_capacity(channel) if is_normal(channel) else super().get_capacity(channel)

    # Sending and receiving

    def send(self, channel: str, message: Message) -> None:
        """
        Puts ``message`` at the end of ``channel``, here or on Redis.

        Raises ``ChannelFull``, ``MessageTooLarge``, ``TypeError`` for a wrong name or value, ``ValueError`` for a
        reserved key, and for a channel on Redis what ``RedisChannelLayer.send`` raises.
        """
        refuse_await()
        if isinstance(channel, str) and is_normal(channel):
            self._local.send(channel, message)
        else:
            super().send(channel, message)

    @property
    def undecodable_count(self) -> int:
        """How many messages this process has dropped because they could not be decoded or decrypted."""
        return self.decoder.undecodable_count + self._local.decoder.undecodable_count

    # Groups

    def send_group(self, group: str, message: Message) -> int:
        """
        Sends ``message`` to every channel of ``group``; returns for how many it was dropped.

        Normal channels in it get the message on this machine only, whichever machine has added them.

        Channels that are full are left out and counted, and never raise ``ChannelFull``. Raises as ``send`` does
        otherwise: ``MessageTooLarge``, ``TypeError`` and ``ValueError`` before anything was sent; and
        ``redis.exceptions.ResponseError`` for a queue that is a key of another type, when all the others were served.
        """
        refuse_await()
        if self.sends_each:
            return BaseChannelLayer.send_group(self, group, message)
        self.valid_group_name(group)
        self.check_message(message)
        members = run_plan(self.plans.group_members(group))
        names = [name.decode() for name in members]
        local = list(filter(is_normal, names))
        remote = [name.encode() for name in names if not is_normal(name)] if local else members
        dropped = 0
        if local:
            next(self.plans.send_to_members(remote, message), None)  # what only Redis cannot take has to show before
            dropped = self._local.send_to_all(local, message)
        dropped += run_plan(self.plans.send_to_members(remote, message))
        self.log_dropped(dropped, len(members), group)
        return dropped

    group_send = send_group

    # Statistics and flush

    def global_statistics(self) -> GlobalStatistics:
        """
        Returns the counters of all channels, on Redis and here, as ``RedisChannelLayer`` does.

        They are kept for about a day after the last message.
        """
        local, remote = self._local.global_statistics(), super().global_statistics()
        return {
            "messages_count": local["messages_count"] + remote["messages_count"],
            "channel_full_count": local["channel_full_count"] + remote["channel_full_count"],
            "messages_expired": local["messages_expired"] + remote["messages_expired"],
        }

    def channel_statistics(self, channel: str) -> ChannelStatistics:
        """Returns the counters of ``channel``, there where it is, as ``RedisChannelLayer`` does."""
        if isinstance(channel, str) and is_normal(channel):
            return self._local.channel_statistics(channel)
        return super().channel_statistics(channel)

    def many_channel_statistics(self, channels: Iterable[str]) -> dict[str, ChannelStatistics]:
        """Returns the ``channel_statistics`` of each of ``channels``, as ``RedisChannelLayer`` does."""
        names = list(channels)
        local = {name: self._local.channel_statistics(name) for name in names if is_normal(name)}
        remote = [name for name in names if name not in local]
        return {**local, **super().many_channel_statistics(remote)}

    def flush(self) -> None:
        """Deletes all messages, groups and counters under this layer's prefixes, and those of the local layer."""
        refuse_await()
        super().flush()
        self._local.flush()

    def close(self) -> None:
        """Gives back what is open, on both sides. The layer stays usable."""
        super().close()
        self._local.close()

    def __str__(self) -> str:
        hosts = [shard.host for shard in self._shards]
        return f"{type(self).__name__}(hosts={hosts}, local_layer={self._local})"
