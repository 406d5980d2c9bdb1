"""
channels_redis as synchronous code calls it: ``async_to_sync`` around each call.

Each call then makes an event loop and a connection. A bare ``async_to_sync(layer.receive)``
returns the same message for ever on redis-py 8, since the loop ends before the task that acknowledges it
has run, so this subject waits for that task, too.
"""

from __future__ import annotations

from typing import Any

from asgiref.sync import async_to_sync

from .channels_redis_async import ChannelsRedisAsync


class ChannelsRedisSync(ChannelsRedisAsync):
    """The same layer, from a thread without an event loop."""

    asynchronous = False

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.send = self._send
        self.group_send = self._group_send

    def _send(self, channel: str, message: dict[str, Any]) -> None:
        async_to_sync(self.layer.send)(channel, message)

    def _group_send(self, group: str, message: dict[str, Any]) -> None:
        async_to_sync(self.layer.group_send)(group, message)

    def receive(self, channel: str, block: bool) -> Any:  # type: ignore[override]  # the same call, not awaited
        return async_to_sync(self._receive)(channel)

    async def _receive(self, channel: str) -> Any:
        message = await self.layer.receive(channel)
        await self.layer.wait_received()
        return message
