"""``RedisPubSubChannelLayer``: the calls of a layer over Redis's pub/sub."""

from __future__ import annotations

import contextlib
import uuid
import weakref
from collections.abc import Collection
from typing import TYPE_CHECKING, Annotated

from asgi_redis.connection import Server, Shard, parse_hosts, run_plan
from asgi_redis.engine.inspection import ServerInspector
from asgi_redis.engine.pubsub.group_decoder import GroupDecoder
from asgi_redis.engine.pubsub.placement import ClusterPlacement, ServerPlacement
from asgi_redis.engine.pubsub.publisher import Publisher
from asgi_redis.engine.pubsub.receiver import PubSubReader, PubSubReceiver
from asgi_redis.engine.pubsub.subscription import Inbox, LocalGroup
from asgi_redis.engine.pubsub.subscriptions import Subscriptions
from asgi_redis.exceptions import ConfigurationError, InvalidName, NotOfThisProcess
from asgi_redis.layers.base import BaseChannelLayer
from asgi_redis.layers.cluster_nodes import ClusterNodesOptions, connect_cluster
from asgi_redis.layers.options import CommonOptions, Option, OutageOptions, must_be, resolve, select, takes
from asgi_redis.process.awaiting import refuse_await
from asgi_redis.wire.message import Batch, Message
from asgi_redis.wire.pubsub import group_name

if TYPE_CHECKING:
    from typing_extensions import Unpack

_JOIN_SECONDS = 5.0  # that the listening threads get to end


_check_cluster = must_be("True or False", lambda value: isinstance(value, bool))


class PubSubOptions(ClusterNodesOptions, OutageOptions, total=False):
    """Options of ``RedisPubSubChannelLayer``, synchronous and asynchronous."""

    cluster: Annotated[
        bool,
        Option(
            "Whether to use the sharded pub/sub of a Redis Cluster (Redis 7.0 or Valkey), whose start nodes are "
            "``hosts``.",
            False,
            _check_cluster,
            example="True",
        ),
    ]


class RedisPubSubChannelLayer(BaseChannelLayer):
    """
    A channel layer over the pub/sub of Redis servers, or of a Redis Cluster.

    On the wire it is the same as that of channels_redis. A message goes to every process that listens to its channel
    at that moment, and is not stored: where no process listens, or a connection is just lost, it is lost, and
    ``send`` does not report that. Unlike with ``RedisChannelLayer``, several processes that receive from one channel
    each get every message; the threads of one process share them. There is no ``ChannelFull`` and there are no
    statistics.

    A process listens to a channel from its first ``receive`` or from ``new_channel`` on, in the background. It ends
    with ``close_channel``, ``flush`` or ``close``, or when the process has not received from the channel for ten
    times ``expiry``, or for ``group_expiry`` where it is in a group. Unreceived messages wait in the memory of the
    process: ``capacity`` messages of a channel, a hundred times as many while it is being read, for ``expiry``
    seconds; the oldest are dropped. Channel names have no parts: ``!`` and ``?`` are characters like others.

    With ``cluster`` each name is published and subscribed to on the node that has its slot, and each process has a
    connection to each node that has slots of its channels. Where a slot moves or a node fails, the subscriptions go
    to the node that has the slot then; messages of the meantime are lost.

    After an outage everything is subscribed again. Each channel of the process gets ``{"type": on_disconnect}`` when
    it begins and ``{"type": on_reconnect}`` when it is over. A process that is forked later listens to nothing at
    first.
    """

    extensions = ["groups", "flush"]
    entries_expire = False  # they have no time to grow old on the way, and clocks differ

    @takes(PubSubOptions)
    def __init__(self, **options: Unpack[PubSubOptions]) -> None:
        settings = resolve(self, PubSubOptions, options)
        super().__init__(**select(CommonOptions, settings))
        self.decoder = GroupDecoder(self._serializer)
        self.prefix = settings["prefix"]
        self.on_disconnect = settings["on_disconnect"]
        self.on_reconnect = settings["on_reconnect"]
        self.placement = _placement(settings)
        """The servers of channels and groups."""
        self.subscriptions = Subscriptions(
            self.placement,
            self.expiry,
            self.group_expiry,
            self.on_disconnect,
            self.on_reconnect,
            self._serializer.serialize,
        )
        self.plans = Publisher(self.placement, self.prefix, self.encoder, self)
        """The sending calls as plans, for another runner than this layer's blocking one."""
        self.inspector = ServerInspector(self.placement.shards, self)
        self._receiver = PubSubReceiver(self.subscriptions, self.decoder)
        # The listening threads hold no reference to the layer: it may be collected while they run.
        weakref.finalize(self, self.subscriptions.stop).atexit = False

    # Sending

    def send(self, channel: str, message: Message) -> None:
        """
        Publish ``message`` to ``channel``, in one round trip; it is never full.

        After a ``redis.exceptions.ConnectionError`` or ``TimeoutError`` the message may or may not have been sent.
        """
        refuse_await()
        run_plan(self.plans.send(channel, message))

    def send_group(self, group: str, message: Message, exclude: Collection[str] = ()) -> int:
        """
        Publish ``message`` to ``group``; return 0, as drops are not known.

        The names of ``exclude`` travel with the message, and each process leaves out its channels among them when it
        receives. A process with channels_redis, which does not know of that, leaves out none.
        """
        refuse_await()
        return run_plan(self.plans.group_send(group, message, exclude))

    group_send = send_group

    # Receiving

    def receive_batch(self, channels: Collection[str], limit: int, timeout: float = 0) -> Batch:
        """
        Take up to ``limit`` messages at once, one from each channel in turn.

        Listen to channels that are new; no message that is sent later is missed. Where there is no message, wait up
        to ``timeout`` seconds for one. Raise ``redis.exceptions.RedisError`` where a new channel cannot be listened
        to; a later outage is not raised, but waited for.
        """
        refuse_await()
        self.check_receive(channels, limit, timeout)
        return self._receiver.receive(self.listen(channels), limit, timeout)

    def listen(self, channels: Collection[str]) -> list[Inbox]:
        """Begin to listen to channels that are new, without waiting for Redis."""
        known = self.subscriptions.inboxes
        for channel in channels:
            if not isinstance(channel, str) or channel not in known:
                self.valid_channel_name(channel, receive=True)
        return self.subscriptions.open(dict.fromkeys(channels), self.get_capacity)

    def reader(self) -> PubSubReader:
        return PubSubReader(self._receiver, self.listen, self.decoder)

    def unblock(self) -> None:
        self._receiver.unblock()

    @property
    def dropped_count(self) -> int:
        """The number of messages that this process has dropped before a receive."""
        return self.subscriptions.dropped_count

    # Channels and groups

    def new_channel(self, pattern: str = "specific.") -> str:
        """Return an unused channel name that this process listens to."""
        channel = self.new_name(pattern)
        try:
            self.subscriptions.confirm(self.listen([channel]))
        except BaseException:
            self.subscriptions.close_channel(channel)
            raise
        return channel

    def new_name(self, pattern: str) -> str:
        """Return a channel name that is in no use, and not listened to yet."""
        if not isinstance(pattern, str):
            raise InvalidName(f"the pattern of a new channel must be a str, not {pattern!r}")
        return f"{self.prefix}{pattern}{uuid.uuid4().hex}"

    def close_channel(self, channel: str) -> None:
        """End listening to a channel; forget its messages and memberships."""
        self.valid_channel_name(channel)
        self.subscriptions.close_channel(channel)

    def group_add(self, group: str, channel: str) -> None:
        """
        Add ``channel``, which this process must listen to, to ``group``.

        No message that is sent to the group later is missed. Raise ``RuntimeError`` for a channel that this process
        does not listen to.
        """
        refuse_await()
        self.subscriptions.confirm([self.join(group, channel)])

    def join(self, group: str, channel: str) -> LocalGroup:
        """Add a channel to a group, without waiting for Redis to confirm the subscription."""
        self.valid_group_name(group)
        self.valid_channel_name(channel)
        joined = self.subscriptions.join(group, group_name(self.prefix, group), channel)
        if joined is None:
            raise NotOfThisProcess(
                f"channel {channel} cannot be added to group {group}: this process does not listen to it (with "
                f"pub/sub a process adds only channels of its own new_channel() or receive())"
            )
        return joined

    def group_discard(self, group: str, channel: str) -> None:
        """Remove ``channel`` from ``group``, if this process has added it."""
        refuse_await()
        self.valid_group_name(group)
        self.valid_channel_name(channel)
        self.subscriptions.leave(group, channel)

    def group_channels(self, group: str) -> list[str]:
        """Return the channels of ``group`` that this process has added."""
        self.valid_group_name(group)
        return self.subscriptions.members(group)

    def valid_channel_name(self, name: object, receive: bool = False) -> bool:
        """
        Return True, or raise ``TypeError`` with the name and the rule that it breaks.

        A name of ``new_channel`` begins with the prefix, which may hold characters that names may not.
        """
        if isinstance(name, str) and self.prefix and name.startswith(self.prefix):
            if name.startswith(group_name(self.prefix, "")):
                raise InvalidName(f"{name!r} is not a valid channel name: a group is published under it")
            if len(name) > len(self.prefix):
                with contextlib.suppress(InvalidName):  # the error shows the whole name
                    return super().valid_channel_name(name[len(self.prefix) :])
        if receive and isinstance(name, str) and name.endswith("!"):
            raise InvalidName(f"{name!r} cannot be received from: pub/sub has whole names only")
        return super().valid_channel_name(name)

    # The rest

    def flush(self) -> None:
        """Forget all channels, groups and messages of this process, but not of others."""
        refuse_await()
        self.close()

    def close(self) -> None:
        """
        End listening, and close the connections.

        A receive that waits returns as if its time had run out. The layer stays usable, and begins as a new one.
        """
        for keeper in self.subscriptions.stop():
            keeper.join(_JOIN_SECONDS)
        self.placement.drop_idle()

    def __str__(self) -> str:
        return f"{type(self).__name__}({self.placement})"


def _placement(settings: PubSubOptions) -> ServerPlacement | ClusterPlacement:
    if settings["cluster"]:
        return ClusterPlacement(connect_cluster(settings, keeps_keys=False))
    if settings["address_remap"] is not None:
        raise ConfigurationError("address_remap is for a Redis Cluster, which needs cluster=True")
    hosts = parse_hosts(settings["hosts"], settings["connection_kwargs"])
    return ServerPlacement([Shard(Server(host, keeps_keys=False)) for host in hosts])
