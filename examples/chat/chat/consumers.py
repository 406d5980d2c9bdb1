"""The asynchronous side: one consumer for each open page."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

from channels.generic.websocket import AsyncJsonWebsocketConsumer
from redis.exceptions import RedisError


class ChatConsumer(AsyncJsonWebsocketConsumer):
    """Passes messages from the page to its room, and from the room to the page."""

    async def connect(self) -> None:
        self.room = self.scope["url_route"]["kwargs"]["room"]
        await self.channel_layer.group_add(f"chat.{self.room}", self.channel_name)
        await self.accept()

    async def disconnect(self, code: int) -> None:
        with suppress(RedisError):  # the membership expires by itself
            await self.channel_layer.group_discard(f"chat.{self.room}", self.channel_name)

    async def receive_json(self, content: dict[str, Any]) -> None:
        """Take a message from the page."""
        try:
            await self.say(str(content.get("sender"))[:30], str(content.get("text"))[:500])
        except RedisError:
            # Without this the consumer would end, and its websocket with it.
            await self.redis_away({})

    async def redis_away(self, event: dict[str, Any]) -> None:
        """Redis has gone away: see ``on_disconnect`` in the settings."""
        await self.send_json({"problem": "Redis cannot be reached."})

    async def redis_back(self, event: dict[str, Any]) -> None:
        """Redis is there again, and this consumer in its room."""
        await self.send_json({"problem": ""})

    async def say(self, sender: str, text: str) -> None:
        message = {"type": "chat.message", "sender": sender, "text": text}
        await self.channel_layer.group_send(f"chat.{self.room}", message)
        if text == "/roll":
            await self.channel_layer.send("dice", {"room": self.room, "player": sender})

    async def chat_message(self, event: dict[str, Any]) -> None:
        """Pass a message of the room to the page."""
        await self.send_json({"sender": event["sender"], "text": event["text"]})
