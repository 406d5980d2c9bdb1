"""The asynchronous layer over Redis's pub/sub: what the listening threads hear goes to the loops directly."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import TYPE_CHECKING, TypeVar
from weakref import WeakKeyDictionary

from asgi_redis.aio.layer import AsyncChannelLayer
from asgi_redis.aio.loop_waker import Bell, Receiver, Sleeper
from asgi_redis.aio.runner import Pipeline, run_plan
from asgi_redis.connection import Plan
from asgi_redis.engine.pubsub.subscription import Confirmation, Inbox, Subscription
from asgi_redis.exceptions import LayerClosed
from asgi_redis.layers import pubsub
from asgi_redis.layers.options import Hosts, PubSubOptions, takes
from asgi_redis.wire.message import Message

if TYPE_CHECKING:
    from typing_extensions import Unpack

T = TypeVar("T")


class RedisPubSubChannelLayer(AsyncChannelLayer):
    """
    A Channels 4 back end over Redis's pub/sub, which it may share with channels_redis.

    ``layer`` is the synchronous layer, whose docstring says what pub/sub cannot do; both know the same channels and
    groups. Where a ``receive`` was cancelled and nobody receives from that channel within ``expiry`` seconds, it is
    forgotten, with its memberships.

    Its options are declared in ``PubSubOptions``, which has those of ``channels_redis.pubsub``.
    Raises ``ValueError`` for an option that cannot work, and ``TypeError`` for an unknown one.
    """

    layer: pubsub.RedisPubSubChannelLayer

    @takes(PubSubOptions)
    def __init__(self, hosts: Hosts | None = None, /, **options: Unpack[PubSubOptions]) -> None:
        if hosts is not None:
            options["hosts"] = hosts
        super().__init__(pubsub.RedisPubSubChannelLayer(**options))
        self._subscriptions = self.layer.subscriptions
        self._pipelines = {shard: Pipeline(shard) for shard in self.layer.plans.shards}
        self._parts += self._pipelines.values()
        self._bells: WeakKeyDictionary[asyncio.AbstractEventLoop, Bell] = WeakKeyDictionary()
        self._closed = 0

    @property
    def prefix(self) -> str:
        """What the names of channels and groups start with on Redis."""
        return self.layer.prefix

    @property
    def on_disconnect(self) -> str | None:
        """The type of the message that tells channels of the beginning of an outage, if any."""
        return self.layer.on_disconnect

    @property
    def on_reconnect(self) -> str | None:
        """The type of the message that tells channels of the end of an outage, if any."""
        return self.layer.on_reconnect

    @property
    def dropped_count(self) -> int:
        """How many messages this process has dropped because a channel was full, or nobody received them in time."""
        return self.layer.dropped_count

    # Sending

    async def send(self, channel: str, message: Message) -> None:
        """
        Publishes ``message`` to ``channel``, in one round trip.

        Raises ``MessageTooLarge``, ``TypeError`` for a wrong name or value, ``ValueError`` for a reserved key. After
        a ``redis.exceptions.ConnectionError`` or ``TimeoutError`` the message may or may not have been sent.
        """
        await self._carry(self.layer.plans.send(channel, message))

    async def group_send(self, group: str, message: Message) -> int:
        """Publishes ``message`` to ``group``, in one round trip. Raises as ``send`` does. Returns 0."""
        return await self._carry(self.layer.plans.group_send(group, message))

    async def _carry(self, plan: Plan[T]) -> T:
        return await run_plan(plan, self._pipelines)

    # Receiving

    async def receive(self, channel: str) -> Message:
        """
        Returns the next message of ``channel``; waits for one, and begins to listen if the channel is new.

        No message is lost by cancelling it. It goes on waiting through an outage of the server; for a new channel
        whose server cannot be reached it raises the server's error. ``LayerClosed`` when the layer is closed
        meanwhile.
        """
        closed, subscriptions = self._closed, self._subscriptions
        while True:
            inbox, arrived = subscriptions.take_one(channel) if isinstance(channel, str) else (None, None)
            if inbox is None:
                (inbox,) = self.layer.listen([channel])
            elif arrived is not None:
                message = self.layer.decoder.decode_or_drop(channel, arrived[1])
                if message is not None:
                    return message
                await asyncio.sleep(0)  # a flood of what cannot be decoded is no reason to hold up the loop
                continue
            try:
                await (self._wait(inbox) if inbox.confirmed_once else self._confirm([inbox]))
            except BaseException:
                subscriptions.leave_inbox(inbox)
                raise
            if self._closed != closed:
                await self._wait_for_exit()
                raise LayerClosed("the channel layer was closed while this waited for a message")

    async def _wait(self, inbox: Inbox) -> None:
        with self._subscriptions.lock:
            if inbox.messages or inbox.ended:
                return
            receiver = Receiver(self._bell(), inbox)
        try:
            await receiver.future
        finally:
            with self._subscriptions.lock:
                receiver.leave()

    async def _confirm(self, subscriptions: Sequence[Subscription]) -> None:
        lock, confirmation = self._subscriptions.lock, Confirmation(subscriptions)
        while True:
            with lock:
                if confirmation.done():
                    return
                sleeper = Sleeper(self._bell())
                confirmation.tell(sleeper)
            try:
                await sleeper.future
            finally:
                with lock:
                    confirmation.forget(sleeper)

    def _bell(self) -> Bell:
        loop = asyncio.get_running_loop()
        bell = self._bells.get(loop)
        if bell is None:
            for other in [other for other in list(self._bells) if other.is_closed()]:
                del self._bells[other]  # what it holds would hold the loop
            bell = self._bells[loop] = Bell(self._subscriptions)
        return bell

    async def new_channel(self, prefix: str = "specific.") -> str:
        """Returns a channel name that is in no use, listened to by this process."""
        channel = self.layer.new_name(prefix)
        try:
            await self._confirm(self.layer.listen([channel]))
        except BaseException:
            self._subscriptions.close_channel(channel)
            raise
        return channel

    # Groups

    async def group_add(self, group: str, channel: str) -> None:
        """
        Adds ``channel``, one that this process listens to, to ``group``.

        Raises ``RuntimeError`` for a channel that this process does not listen to: its own process must add it.
        """
        await self._confirm([self.layer.join(group, channel)])

    async def group_discard(self, group: str, channel: str) -> None:
        """Removes ``channel`` from ``group``, if this process has added it."""
        self.layer.group_discard(group, channel)

    def _close(self, timeout: float) -> None:
        self._closed += 1
        super()._close(timeout)
