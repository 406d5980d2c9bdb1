"""Consumers of Channels 4, run by its own machinery over our layer."""

from __future__ import annotations

import asyncio
import inspect
import json

import pytest

pytest.importorskip("django")

from asgiref.testing import ApplicationCommunicator
from django.conf import settings
from django.test import override_settings

pytestmark = pytest.mark.native("event loops in native threads")


@pytest.fixture(autouse=True, scope="module")
def _django():
    if not settings.configured:
        settings.configure()


@pytest.fixture
def project(redis_server, prefix, closing):
    config = {
        "BACKEND": "asgi_redis.aio.RedisChannelLayer",
        "CONFIG": {"hosts": [redis_server.url], "prefix": prefix},
    }
    with override_settings(CHANNEL_LAYERS={"default": config}):
        from channels.layers import get_channel_layer

        yield closing(get_channel_layer())


class Window(ApplicationCommunicator):
    """A websocket. That of ``channels.testing`` is the same, but cannot be imported without daphne."""

    def __init__(self, application):
        super().__init__(application, {"type": "websocket", "path": "/chat/", "headers": [], "subprotocols": []})

    async def open(self):
        await self.send_input({"type": "websocket.connect"})
        assert (await self.receive_output(5))["type"] == "websocket.accept"

    async def say(self, text):
        await self.send_input({"type": "websocket.receive", "text": json.dumps({"text": text})})

    async def hear(self):
        return json.loads((await self.receive_output(5))["text"])["said"]

    async def close(self):
        await self.send_input({"type": "websocket.disconnect", "code": 1000})
        await self.wait(5)


def chat(base):
    asynchronous = inspect.iscoroutinefunction(base.connect)

    class Chat(base):
        groups = ["chat"]

        if asynchronous:

            async def receive_json(self, content):
                await self.channel_layer.group_send("chat", {"type": "chat.message", "text": content["text"]})

            async def chat_message(self, event):
                await self.send_json({"said": event["text"]})

        else:

            def receive_json(self, content):
                from asgiref.sync import async_to_sync

                async_to_sync(self.channel_layer.group_send)(
                    "chat", {"type": "chat.message", "text": content["text"]}
                )

            def chat_message(self, event):
                self.send_json({"said": event["text"]})

    return Chat


async def three_talk(application):
    """Each hears what each says; and when one has gone, the others do."""
    windows = [Window(application) for _ in range(3)]
    for window in windows:
        await window.open()
    for number, window in enumerate(windows):
        await window.say(f"hello {number}")
        for other in windows:
            assert await other.hear() == f"hello {number}"
    await windows[0].close()
    await windows[1].say("who is there?")
    assert await windows[2].hear() == "who is there?"
    await asyncio.gather(*(window.close() for window in windows[1:]))


@pytest.mark.parametrize("kind", ["AsyncJsonWebsocketConsumer", "JsonWebsocketConsumer"])
def test_what_one_websocket_says_all_hear(project, kind):
    from channels.generic import websocket

    application = chat(getattr(websocket, kind)).as_asgi()
    asyncio.run(asyncio.wait_for(three_talk(application), 20))
    assert project.layer.group_channels("chat") == []


def test_a_synchronous_send_reaches_a_consumer(project):
    """Such as from a management command, in another process."""
    from channels.generic.websocket import AsyncJsonWebsocketConsumer

    async def run():
        window = Window(chat(AsyncJsonWebsocketConsumer).as_asgi())
        await window.open()
        project.layer.send_group("chat", {"type": "chat.message", "text": "from outside"})
        assert await window.hear() == "from outside"
        await window.close()

    asyncio.run(asyncio.wait_for(run(), 20))


def test_with_the_communicator_of_channels(project):
    pytest.importorskip("daphne", reason="channels.testing cannot be imported without it")
    from channels.generic.websocket import AsyncJsonWebsocketConsumer
    from channels.testing import WebsocketCommunicator

    async def run():
        windows = [WebsocketCommunicator(chat(AsyncJsonWebsocketConsumer).as_asgi(), "/chat/") for _ in range(3)]
        for window in windows:
            assert (await window.connect())[0]
        await windows[0].send_json_to({"text": "hello"})
        for window in windows:
            assert await window.receive_json_from() == {"said": "hello"}
            await window.disconnect()

    asyncio.run(asyncio.wait_for(run(), 20))


def test_a_worker_of_channels_runs_the_consumers_of_its_channels(project):
    from channels.consumer import AsyncConsumer
    from channels.routing import ChannelNameRouter
    from channels.worker import Worker

    async def run():
        done = asyncio.Queue()

        class Thumbnails(AsyncConsumer):
            async def make(self, message):
                await done.put(message["number"])

        worker = Worker(ChannelNameRouter({"thumbnails": Thumbnails.as_asgi()}), ["thumbnails"], project)
        listening = asyncio.ensure_future(worker.listener("thumbnails"))
        for number in range(20):
            await project.send("thumbnails", {"type": "make", "number": number})
        assert [await asyncio.wait_for(done.get(), 5) for _ in range(20)] == list(range(20))
        listening.cancel()

    asyncio.run(asyncio.wait_for(run(), 20))
