"""An asynchronous layer around a ``RedisChannelLayer``, with pipelines."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection
from typing import TypeVar

from asgi_redis import exceptions
from asgi_redis.aio.layer import AsyncChannelLayer, ChannelFull
from asgi_redis.aio.pipelines import make_pipelines
from asgi_redis.aio.runner import run_plan
from asgi_redis.connection import Plan
from asgi_redis.layers import redis
from asgi_redis.layers.base import BaseChannelLayer
from asgi_redis.wire import Witness
from asgi_redis.wire.message import Message

T = TypeVar("T")


class PipelinedChannelLayer(AsyncChannelLayer):
    """
    An asynchronous layer around a ``RedisChannelLayer`` of any kind.

    To each server one round trip is made for all the messages that were sent in the meantime.
    """

    layer: redis.RedisChannelLayer
    threads = 1  # for all other calls

    def __init__(self, layer: redis.RedisChannelLayer) -> None:
        super().__init__(layer)
        self._pipelines = make_pipelines(layer.plans.shards)
        self._parts += self._pipelines.threads

    async def send(self, channel: str, message: Message) -> None:
        """
        Put ``message`` at the end of ``channel``, in one round trip.

        Raises as ``AsyncChannelLayer.send`` does. After a ``redis.exceptions.ConnectionError`` or ``TimeoutError``
        the message may or may not have been sent.
        """
        try:
            await run_plan(self.layer.plans.send(channel, message), self._pipelines.queues)
        except exceptions.ChannelFull as error:
            raise ChannelFull(str(error)) from None

    def repeatable_send(
        self, channel: str, message: Message, witness: Witness
    ) -> Callable[[], Awaitable[None]] | None:
        """Return a coroutine function; see ``BaseChannelLayer.repeatable_send``."""
        if self.layer.sends_each:
            return None
        attempt = self.layer.plans.once(channel, message, witness)
        return lambda: self._carry(attempt())

    async def group_count(self, group: str) -> int:
        """Return the number of memberships that have not expired, in one round trip."""
        return await self._carry(self.layer.plans.group_count(group))

    async def group_send(self, group: str, message: Message, exclude: Collection[str] = ()) -> int:
        """Send as ``AsyncChannelLayer.group_send`` does, in one or two round trips."""
        return await self._carry(self.layer.plans.group_send(group, message, exclude))

    async def _carry(self, plan: Plan[T]) -> T:
        return await run_plan(plan, self._pipelines.queues)


def asynchronous(layer: BaseChannelLayer | AsyncChannelLayer) -> AsyncChannelLayer:
    """Return the asynchronous layer for ``layer``, which may be one itself."""
    if isinstance(layer, AsyncChannelLayer):
        return layer
    if isinstance(layer, redis.RedisChannelLayer) and type(layer).send is redis.RedisChannelLayer.send:
        return PipelinedChannelLayer(layer)
    return AsyncChannelLayer(layer)
