"""The ASGI application of Channels 4: echoes, and members of a group."""

from __future__ import annotations

import asyncio
import os
import sys

import django

django.setup()

from channels.generic.websocket import AsyncWebsocketConsumer, WebsocketConsumer  # noqa: E402  needs the settings
from channels.layers import get_channel_layer  # noqa: E402
from channels.routing import ProtocolTypeRouter, URLRouter  # noqa: E402
from django.urls import path  # noqa: E402


class Echo(WebsocketConsumer):
    channel_layer_alias = ""  # without a layer, which an echo does not need

    def receive(self, text_data=None, bytes_data=None):
        self.send(text_data)


class Member(WebsocketConsumer):
    groups = ("all",)

    def group_message(self, event):
        self.send(event["text"])


class AsyncEcho(AsyncWebsocketConsumer):
    channel_layer_alias = ""

    async def receive(self, text_data=None, bytes_data=None):
        await self.send(text_data)


class AsyncMember(AsyncWebsocketConsumer):
    groups = ("all",)

    async def group_message(self, event):
        await self.send(event["text"])


_SYNC = os.environ["BENCH_CONSUMERS"] == "sync"
_routes = [
    path("echo/", (Echo if _SYNC else AsyncEcho).as_asgi()),
    path("group/", (Member if _SYNC else AsyncMember).as_asgi()),
]
application = ProtocolTypeRouter({"websocket": URLRouter(_routes)})


async def send() -> None:
    """Send a line of the standard input to all of the group, in one event loop for all."""
    layer = get_channel_layer()
    for line in sys.stdin:
        await layer.group_send("all", {"type": "group.message", "text": line.strip()})


if __name__ == "__main__":
    asyncio.run(send())
