"""channels_redis's pub/sub layer, for tests that send to it as soon as it says that it listens."""

from __future__ import annotations

import asyncio

import redis.asyncio
from channels_redis.pubsub import RedisPubSubChannelLayer


class StockLayer(RedisPubSubChannelLayer):
    """
    Waits until Redis has the subscriptions.

    The stock layer returns when a SUBSCRIBE is written, not when it is confirmed: on a busy machine Redis may serve
    the PUBLISH of another connection first.
    """

    async def new_channel(self, prefix="specific."):
        channel = await self._get_layer().new_channel(prefix)
        await self._confirm(channel)
        return channel

    async def group_add(self, group, channel):
        await self._get_layer().group_add(group, channel)
        await self._confirm(self._get_layer()._get_group_channel_name(group))

    async def _confirm(self, name):
        await asyncio.wait_for(self._is_subscribed(name), 10)

    async def _is_subscribed(self, name):
        address = self._get_layer()._get_shard(name).host["address"]
        async with redis.asyncio.Redis.from_url(address, protocol=2) as client:
            while not dict(await client.pubsub_numsub(name))[name.encode()]:
                await asyncio.sleep(0.005)
