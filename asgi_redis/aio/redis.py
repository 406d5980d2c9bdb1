"""The Channels 4 back end over Redis servers."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from asgi_redis import exceptions
from asgi_redis.aio.attendance import Attendance
from asgi_redis.aio.memberships import Memberships, restore_all
from asgi_redis.aio.pipelined import PipelinedChannelLayer
from asgi_redis.aio.runner import run_plan
from asgi_redis.engine.outage import OutageNotices
from asgi_redis.engine.reader import Reader
from asgi_redis.layers import redis
from asgi_redis.layers.options import (
    AsyncOptions,
    AsyncRedisOptions,
    Hosts,
    RedisOptions,
    resolve,
    select,
    takes,
)
from asgi_redis.wire.memberships import MembershipOperations
from asgi_redis.wire.message import Message

if TYPE_CHECKING:
    from typing_extensions import Unpack

_MAX_RECEIVE_THREADS = 128


class RedisChannelLayer(PipelinedChannelLayer):
    """
    A Channels 4 back end over one or more Redis servers.

    It may share them with channels_redis. To each server one round trip is made for all the calls of the
    meantime. ``layer`` is the synchronous layer, which shares the connections.

    Its options include those of ``channels_redis.core``.
    """

    @takes(AsyncRedisOptions)
    def __init__(self, hosts: Hosts | None = None, /, **options: Unpack[AsyncRedisOptions]) -> None:
        if hosts is not None:
            options = AsyncRedisOptions(hosts=hosts, **options)  # TypeError where it is given twice
        settings = resolve(self, AsyncRedisOptions, options)
        self._set_up(redis.RedisChannelLayer(**select(RedisOptions, settings)), settings)

    def _set_up(self, layer: redis.RedisChannelLayer, settings: AsyncOptions) -> None:
        """Make the parts of this layer around ``layer``."""
        self.on_disconnect = settings["on_disconnect"]
        self.on_reconnect = settings["on_reconnect"]
        lease = settings["group_lease"]
        self.group_lease = layer.group_expiry if lease is None else min(lease, layer.group_expiry)
        PipelinedChannelLayer.__init__(self, layer)
        mailboxes = self._mailboxes
        mailboxes.fails_fast = self.on_disconnect is None
        attendance = self._attendance = Attendance(mailboxes.waits, layer.group_expiry, self.group_lease)
        # Nothing here may know this layer, or it is never collected.
        process_name = functools.partial(getattr, layer, "client_prefix")
        self._memberships = [
            Memberships(
                self._pipelines.of_groups[shard],
                MembershipOperations(keys, process_name, layer.group_expiry, self.group_lease),
                attendance,
                self.group_lease,
                f"memberships at {shard.name}",
            )
            for shard, keys in zip(layer.plans.shards, layer.plans.keys)
        ]
        notices = OutageNotices(
            self.on_disconnect,
            self.on_reconnect,
            lambda message: mailboxes.deliver_to_local(message, attendance.channels()),
        )
        self._readers.watch(functools.partial(_outage_changed, notices, self._memberships))
        self._parts[:0] = self._memberships  # they need the pipelines

    def _reader_factory(self) -> tuple[Callable[[], Reader], int]:
        self._readers = self.layer.reader()
        self._readers.close()  # it reads nothing itself
        shards = self.layer.plans.shards
        connections = min(shard.limits.max_connections for shard in shards)
        # A thread has a connection for each shard, and all the shards of a cluster may be on one server.
        a_thread = sum(shard.moves for shard in shards) or 1
        return self._readers.sibling, max(1, int(min(_MAX_RECEIVE_THREADS, connections / 2 / a_thread)))

    async def receive(self, channel: str) -> Message:
        """
        Return the next message of ``channel``, as ``AsyncChannelLayer.receive`` does.

        Where ``on_disconnect`` is set, a ``receive`` from a process-local channel waits also if no server can be
        reached at its start.
        """
        self._check_receive(channel)
        note = self._attendance.note
        note(channel, False)
        try:
            message = await self._mailboxes.receive(channel)
        except BaseException as error:
            note(channel, False)
            if isinstance(error, exceptions.LayerClosed):
                await self._wait_for_exit()
            raise
        note(channel, True)
        return message

    async def group_add(self, group: str, channel: str) -> None:
        """
        Add ``channel`` to ``group``, in one round trip.

        A process-local channel of this process is a member until it is discarded, or as long as it is received from:
        see ``asgi_redis.aio.memberships``. Any other channel is a member for ``group_expiry`` seconds, and adding it
        again renews that.
        """
        layer = self.layer
        if not (isinstance(channel, str) and self._is_own(channel)):
            await run_plan(layer.plans.group_add(group, channel), self._pipelines.of_groups)
            return
        layer.valid_group_name(group)
        layer.valid_channel_name(channel)
        await self._memberships[layer.plans.group_shard(group)].join(group, channel)

    async def group_discard(self, group: str, channel: str) -> None:
        """Remove ``channel`` from ``group``, if it is in there, in one round trip."""
        self.layer.valid_group_name(group)
        self._memberships[self.layer.plans.group_shard(group)].leave(group, channel)
        await run_plan(self.layer.plans.group_discard(group, channel), self._pipelines.of_groups)

    async def flush(self) -> None:
        for memberships in self._memberships:
            await memberships.forget_at_once()
        await super().flush()

    @property
    def prefix(self) -> str:
        """The beginning of the keys in Redis."""
        return self.layer.prefix


def _outage_changed(notices: OutageNotices, memberships: Sequence[Memberships], lasts: bool) -> None:
    if lasts:
        notices.begin()
    else:
        # A group message that is sent after the notice of the end is not missed.
        restore_all(memberships, notices.end)
