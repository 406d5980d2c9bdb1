"""The Channels 4 back end over Redis's pub/sub, woken by the listening threads."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING, TypeVar

from asgi_redis.aio.layer import AsyncChannelLayer
from asgi_redis.aio.loop_reader import LoopReader
from asgi_redis.aio.loop_waker import settle
from asgi_redis.aio.pipelines import make_pipelines
from asgi_redis.aio.runner import Closable, RequestQueues, run_plan
from asgi_redis.aio.slot_pipelines import SlotPipelines
from asgi_redis.connection import Plan
from asgi_redis.engine.pubsub.placement import ClusterPlacement, ServerPlacement
from asgi_redis.engine.pubsub.subscription import Confirmation, LoopWaiter, Subscription
from asgi_redis.engine.pubsub.subscriptions import Subscriptions
from asgi_redis.exceptions import LayerClosed
from asgi_redis.layers import pubsub
from asgi_redis.layers.options import Hosts, takes
from asgi_redis.layers.pubsub import PubSubOptions
from asgi_redis.wire.message import Message

if TYPE_CHECKING:
    from typing_extensions import Unpack

T = TypeVar("T")


class CoroutineWaiter(LoopWaiter):
    """A coroutine that awaits ``future`` until there may be a change."""

    __slots__ = ("_is_notified", "_subscriptions", "future", "loop")

    loop: asyncio.AbstractEventLoop

    def __init__(self, subscriptions: Subscriptions) -> None:
        self.loop = asyncio.get_running_loop()
        self.future: asyncio.Future[None] = self.loop.create_future()
        self._subscriptions = subscriptions
        self._is_notified = False

    def notify_all(self) -> None:
        """Wake the coroutine, with the lock held."""
        if self._subscriptions.delivering_loop is self.loop:
            if not self.future.done():
                self.future.set_result(None)
        elif not self._is_notified:
            self._is_notified = True
            self._subscriptions.when_delivered(settle, (self.future, None))

    def is_gone(self) -> bool:
        return self.loop.is_closed()


class RedisPubSubChannelLayer(AsyncChannelLayer):
    """
    A Channels 4 back end over Redis's pub/sub.

    It may share the servers with channels_redis. ``layer`` is the synchronous layer, whose docstring says what
    pub/sub cannot do; both know the same channels and groups. Where a ``receive`` was cancelled and there is no other
    from that channel within ``expiry`` seconds, the channel is forgotten, with its memberships.

    Its options include those of ``channels_redis.pubsub``.
    """

    layer: pubsub.RedisPubSubChannelLayer

    @takes(PubSubOptions)
    def __init__(self, hosts: Hosts | None = None, /, **options: Unpack[PubSubOptions]) -> None:
        if hosts is not None:
            options = PubSubOptions(hosts=hosts, **options)  # TypeError where it is given twice
        super().__init__(pubsub.RedisPubSubChannelLayer(**options))
        self._subscriptions = self.layer.subscriptions
        queues, pipelines = _make_queues(self.layer.placement)
        self._queues = queues
        self._parts += pipelines
        self._closed = 0

    @property
    def prefix(self) -> str:
        """The beginning of the names of channels and groups on Redis."""
        return self.layer.prefix

    @property
    def on_disconnect(self) -> str | None:
        """The type of the message for channels when an outage begins, if any."""
        return self.layer.on_disconnect

    @property
    def on_reconnect(self) -> str | None:
        """The type of the message for channels when an outage is over, if any."""
        return self.layer.on_reconnect

    @property
    def dropped_count(self) -> int:
        """How many messages this process has dropped: not received in time, or too many."""
        return self.layer.dropped_count

    # Sending

    async def send(self, channel: str, message: Message) -> None:
        """
        Publish ``message`` to ``channel``, in one round trip; it is never full.

        After a ``redis.exceptions.ConnectionError`` or ``TimeoutError`` the message may or may not have been sent.
        """
        await self._carry(self.layer.plans.send(channel, message))

    async def group_send(self, group: str, message: Message, exclude: Collection[str] = ()) -> int:
        """Publish ``message`` to ``group``, in one round trip; return 0."""
        return await self._carry(self.layer.plans.group_send(group, message, exclude))

    async def _carry(self, plan: Plan[T]) -> T:
        return await run_plan(plan, self._queues)

    # Receiving

    async def receive(self, channel: str) -> Message:
        """
        Return the next message of ``channel``; wait for one.

        Begins to listen if the channel is new. No message is lost by cancelling it. It waits through an outage of the
        server; for a new channel whose server cannot be reached it raises the server's error.

        Raises:
            LayerClosed: The layer was closed meanwhile.
        """
        closed, subscriptions = self._closed, self._subscriptions
        while True:
            inbox, entry = subscriptions.take_one(channel) if isinstance(channel, str) else (None, None)
            if inbox is None:
                (inbox,) = self.layer.listen([channel])
            elif entry is not None:
                message = self.layer.decoder.decode_or_drop(channel, entry)
                if message is not None:
                    return message
                await asyncio.sleep(0)  # a flood of what cannot be decoded is no reason to hold up the loop
                continue
            try:
                if not inbox.confirmed_once:
                    await self._confirm([inbox])
                    continue
                waiter = CoroutineWaiter(subscriptions)
                # Without the lock: it waits before it looks, so no message of the meantime is missed.
                inbox.waiting.add(waiter)
                try:
                    if not (inbox.messages or inbox.ended):
                        self._offer_to_read(waiter.loop)
                        await waiter.future
                finally:
                    inbox.waiting.discard(waiter)
            except BaseException:
                subscriptions.leave_inbox(inbox)
                raise
            if self._closed != closed:
                await self._wait_for_exit()
                raise LayerClosed("the channel layer was closed while this waited for a message")

    def _offer_to_read(self, loop: asyncio.AbstractEventLoop) -> None:
        """Let ``loop`` read the messages that its coroutine waits for, if no other waits."""
        readers = self._subscriptions.readers
        if not readers.is_shared and (readers.reader is None or readers.reader.loop is not loop):
            with self._subscriptions.lock:
                readers.offer(LoopReader(loop))

    async def _confirm(self, subscriptions: Sequence[Subscription]) -> None:
        lock, confirmation = self._subscriptions.lock, Confirmation(subscriptions)
        while True:
            with lock:
                if confirmation.done():
                    return
                waiter = CoroutineWaiter(self._subscriptions)
                confirmation.add_waiter(waiter)
            try:
                await waiter.future
            finally:
                with lock:
                    confirmation.remove_waiter(waiter)

    async def new_channel(self, prefix: str = "specific.") -> str:
        """Return a channel name that is in no use, and listened to by this process."""
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
        Add ``channel`` to ``group``.

        Raises:
            RuntimeError: This process does not listen to the channel: the process that does must add it.
        """
        await self._confirm([self.layer.join(group, channel)])

    async def group_discard(self, group: str, channel: str) -> None:
        """Remove ``channel`` from ``group``, if this process has added it."""
        self.layer.group_discard(group, channel)

    def _close(self, timeout: float) -> None:
        self._closed += 1
        super()._close(timeout)


def _make_queues(placement: ServerPlacement | ClusterPlacement) -> tuple[RequestQueues, Sequence[Closable]]:
    if isinstance(placement, ClusterPlacement):
        of_slots = SlotPipelines(placement.cluster)
        return of_slots, [of_slots]
    pipelines = make_pipelines(placement.shards)
    return pipelines.queues, pipelines.threads
