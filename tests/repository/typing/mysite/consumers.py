"""Consumers: functions, classes, async def; sessions and users."""

from __future__ import annotations

from typing import Any

from workers import Channel, ConsumeLater, DenyConnection, Group, Message, WebsocketCloseException
from workers.auth import channel_session_user, http_session_user
from workers.generic import BaseConsumer
from workers.generic.websockets import JsonWebsocketConsumer, WebsocketConsumer
from workers.sessions import channel_session, enforce_ordering, http_session


def make_thumbnail(message: Message) -> None:
    if "id" not in message:
        raise ConsumeLater
    Group("editors").send({"text": f"image {message['id']} is ready"})
    if message.reply_channel is not None:
        message.reply_channel.send({"text": "done"}, immediately=True)
    Group("editors").add(message.reply_channel or "nowhere")
    Channel("asgi.delay").send({"channel": "thumbnails", "content": {"id": 42}, "delay": 1500})


async def make_later(message: Message) -> None:
    Channel("thumbnails").send(dict(message.items()))


@enforce_ordering
@channel_session
def connect(message: Message, room: str) -> None:
    message.channel_session["room"] = room
    if room == "closed":
        raise DenyConnection
    if room == "full":
        raise WebsocketCloseException(4000)


@http_session
@http_session_user
@channel_session_user
def receive(message: Message) -> None:
    print(message.user, message.http_session)


class Chat(JsonWebsocketConsumer):
    http_user = True

    def connection_groups(self, room: str = "", **kwargs: Any) -> list[str]:
        return [f"chat-{room}"]

    def receive(self, content: Any, room: str = "", **kwargs: Any) -> None:
        self.group_send(f"chat-{room}", content)


class Echo(WebsocketConsumer):
    def connect(self, message: Message, **kwargs: Any) -> None:
        assert message.reply_channel is not None
        message.reply_channel.send({"accept": True})

    def receive(self, text: str | None = None, bytes: bytes | None = None, **kwargs: Any) -> None:  # noqa: A002
        self.send(text=text, bytes=bytes)


class Jobs(BaseConsumer):
    method_mapping = {"jobs.start": "start"}

    def start(self, message: Message, **kwargs: Any) -> None:
        print(message.content, kwargs)
