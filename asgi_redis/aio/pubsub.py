"""The asynchronous layer over Redis's pub/sub: what the listening threads hear goes to the loops directly."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import Any, TypeVar
from weakref import WeakKeyDictionary

import asgi_redis
from asgi_redis.aio.carriers import Pipeline, call_in, carry
from asgi_redis.aio.layer import AsyncChannelLayer
from asgi_redis.base import Message
from asgi_redis.connection import Steps
from asgi_redis.exceptions import LayerClosed
from asgi_redis.pubsub.subscription import Confirmation, Inbox, Subscription, Waiting

T = TypeVar("T")


class RedisPubSubChannelLayer(AsyncChannelLayer):
    """
    A Channels 4 back end over Redis's pub/sub, with the settings of ``asgi_redis.RedisPubSubChannelLayer``.

    They are those of ``channels_redis.pubsub.RedisPubSubChannelLayer``, too, which it shares the servers with.
    ``layer`` is the synchronous layer, whose docstring says what pub/sub cannot do; both know the same channels and
    groups. Where a ``receive`` was cancelled and nobody receives from that channel within ``expiry`` seconds, it is
    forgotten, with its memberships.

    Raises ``ValueError`` for a setting that cannot work, and ``TypeError`` for one that is not known.
    """

    layer: asgi_redis.RedisPubSubChannelLayer

    def __init__(self, hosts: Any = None, **settings: Any) -> None:
        super().__init__(asgi_redis.RedisPubSubChannelLayer(hosts=hosts, **settings))

    def _start_process(self) -> None:
        super()._start_process()
        self._subscriptions = self.layer._subscriptions
        self._pipelines = {shard: Pipeline(shard) for shard in self.layer._shards}
        self._parts += self._pipelines.values()
        self._bells: WeakKeyDictionary[asyncio.AbstractEventLoop, _Bell] = WeakKeyDictionary()
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
        await self._carry(self.layer._sending(channel, message))

    async def group_send(self, group: str, message: Message) -> int:
        """Publishes ``message`` to ``group``, in one round trip. Raises as ``send`` does. Returns 0."""
        return await self._carry(self.layer._group_sending(group, message))

    async def _carry(self, steps: Steps[T]) -> T:
        return await carry(steps, self._pipelines)

    # Receiving

    async def receive(self, channel: str) -> Message:
        """
        Returns the next message of ``channel``; waits for one, and begins to listen if the channel is new.

        No message is lost by cancelling it. It goes on waiting through an outage of the server; for a new channel
        whose server cannot be reached it raises the server's error. ``LayerClosed`` when the layer is closed
        meanwhile.
        """
        closed = self._closed
        inbox = None
        while True:
            if inbox is None or inbox.ended:
                (inbox,) = self.layer._open([channel])
            taken = self._subscriptions.receive([inbox], 1, 0)
            received = self.layer._decoder.decode(taken)
            if received:
                return received[0][1]
            if not taken:
                await self._wait_for_message(inbox)
                if self._closed != closed:
                    raise LayerClosed("the channel layer was closed while this waited for a message")

    async def _wait_for_message(self, inbox: Inbox) -> None:
        if not inbox.confirmed_once:
            await self._confirm([inbox])
        try:
            await self._wait([inbox], lambda: bool(inbox.messages) or inbox.ended)
        except BaseException:
            self._subscriptions.leave_channel(inbox.channel)
            raise

    async def _confirm(self, subscriptions: Sequence[Subscription]) -> None:
        await self._wait(subscriptions, Confirmation(subscriptions).done)

    async def _wait(self, subscriptions: Sequence[Subscription], done: Callable[[], bool]) -> None:
        """Returns when ``done``, or raises what that raises."""
        loop, lock = asyncio.get_running_loop(), self._subscriptions.lock
        while True:
            with lock:
                if done():
                    return
                waiting = _Waiting(loop.create_future(), self._bell(loop))
                for one in subscriptions:
                    one.waiting.add(waiting)
            try:
                await waiting.future
            finally:
                with lock:
                    for one in subscriptions:
                        one.waiting.discard(waiting)

    def _bell(self, loop: asyncio.AbstractEventLoop) -> _Bell:
        bell = self._bells.get(loop)
        if bell is None:
            for other in [other for other in list(self._bells) if other.is_closed()]:
                del self._bells[other]  # what it holds would hold the loop
            bell = self._bells[loop] = _Bell(self._subscriptions.lock)
        return bell

    async def new_channel(self, prefix: str = "specific.") -> str:
        """Returns a channel name that is in no use, listened to by this process."""
        channel = self.layer._new_name(prefix)
        try:
            await self._confirm(self.layer._open([channel]))
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
        await self._confirm([self.layer._join(group, channel)])

    async def group_discard(self, group: str, channel: str) -> None:
        """Removes ``channel`` from ``group``, if this process has added it."""
        self.layer.group_discard(group, channel)

    def _close(self, timeout: float) -> None:
        self._closed += 1
        super()._close(timeout)


class _Bell:
    """Wakes the coroutines of one loop: all that have something to see with one call."""

    def __init__(self, lock: AbstractContextManager[Any]) -> None:
        self._lock = lock
        self._futures: list[asyncio.Future[None]] = []

    def ring(self, future: asyncio.Future[None]) -> None:
        """Wakes who awaits ``future``. To be called with the lock held."""
        self._futures.append(future)
        if len(self._futures) == 1 and not call_in(future.get_loop(), self._wake):
            self._futures = []

    def _wake(self) -> None:
        with self._lock:
            futures, self._futures = self._futures, []
        for future in futures:
            if not future.done():
                future.set_result(None)


class _Waiting(Waiting):
    """A coroutine that waits."""

    def __init__(self, future: asyncio.Future[None], bell: _Bell) -> None:
        self.future = future
        self._bell = bell
        self._rung = False

    def notify_all(self) -> None:
        """See ``asgi_redis.pubsub.subscription.Waiting``."""
        if not self._rung:
            self._rung = True
            self._bell.ring(self.future)
