"""
channels_redis, used as it is meant to be: awaited inside one event loop.

It has no receive that does not block; where one is asked for, a message is always waiting.
"Threads" are tasks of the one loop.
"""

from __future__ import annotations

from typing import Any

from channels_redis.core import RedisChannelLayer

from . import settings
from .sorted_sets import SortedSets


class ChannelsRedisAsync(SortedSets):
    """The layer of channels_redis, with its coroutines as they are."""

    asynchronous = True

    def __init__(self, port: int, keys: list[str] | None) -> None:
        self.layer = RedisChannelLayer(**settings(port, keys))
        self.send = self.layer.send
        self.group_send = self.layer.group_send

    async def receive(self, channel: str, block: bool) -> Any:
        return await self.layer.receive(channel)
