"""The project's consumers. They tell what they do as those of ``tests.support.workers.consumers`` do."""

import asyncio
import threading
import time

from asgiref.sync import async_to_sync
from channels.consumer import AsyncConsumer, SyncConsumer
from channels.db import database_sync_to_async
from channels.exceptions import StopConsumer
from channels.layers import get_channel_layer
from django.db import connection

from tests.support.workers.consumers import note
from workers import Channel
from workers.exceptions import ConsumeLater

layer = get_channel_layer()
lock = threading.Lock()
running = 0


def started():
    global running
    with lock:
        running += 1
        note("running", running)


def ended():
    global running
    with lock:
        running -= 1


class Thumbnails(SyncConsumer):
    def __init__(self):
        note("instances", "thumbnails")
        self.made = 0

    def thumbnails_make(self, message):
        started()
        time.sleep(message.get("seconds", 0))
        self.made += 1
        note("made", self.made)
        note("thread", threading.current_thread().name)
        ended()
        note("done", message["n"])

    def thumbnails_query(self, message):
        connection.ensure_connection()
        note("connection", id(connection.connection))
        note("thread", threading.current_thread().name)
        note("done", message["n"])

    def thumbnails_fail(self, message):
        raise {
            "value": ValueError,
            "exit": SystemExit,
            "keyboard": KeyboardInterrupt,
            "stop": StopConsumer,
            "iteration": StopIteration,
        }[message["kind"]]("failed")

    def thumbnails_join(self, message):
        async_to_sync(self.channel_layer.group_add)(message["group"], self.channel_name)
        note("done", message["n"])

    def thumbnails_news(self, message):
        note("news", message["text"])

    def thumbnails_later(self, message):
        note("later", message.get("__retries__", 0))
        raise ConsumeLater

    def thumbnails_forward(self, message):
        assert self.channel_layer is layer  # which was asked for at import
        Channel("elsewhere").send({"text": message["text"]})
        async_to_sync(self.channel_layer.send)("elsewhere", {"text": message["text"] + "!"})
        note("done", message["n"])


class Emails(AsyncConsumer):
    def __init__(self):
        note("instances", "emails")
        self.sent = 0

    async def emails_send(self, message):
        started()
        await asyncio.sleep(message.get("seconds", 0))
        self.sent += 1
        ended()
        note("sent", self.sent)
        note("thread", threading.current_thread().name)
        note("done", message["n"])

    async def emails_query(self, message):
        note("thread", await database_sync_to_async(lambda: threading.current_thread().name)())
        note("done", message["n"])

    async def emails_fail(self, message):
        errors = {"value": ValueError, "exit": SystemExit, "cancelled": asyncio.CancelledError}
        raise errors[message["kind"]]("failed")

    async def emails_join(self, message):
        await self.channel_layer.group_add(message["group"], self.channel_name)
        note("done", message["n"])

    async def emails_news(self, message):
        note("news", message["text"])

    async def emails_later(self, message):
        async def late():
            await asyncio.sleep(message["seconds"])
            note("late", message["n"])

        self.task = asyncio.create_task(late())
        note("done", message["n"])

    async def emails_reply(self, message):
        await self.send({"type": "answer"})

    async def emails_hang(self, message):
        note("started", message["n"])
        await asyncio.sleep(60)

    async def emails_watch(self, message):
        async def watch():
            try:
                await asyncio.sleep(60)
            finally:
                note("cancelled", message["n"])

        self.task = asyncio.create_task(watch())
        await asyncio.sleep(0)
        note("done", message["n"])


async def bare(scope, receive, send):
    note("scope", f"{scope['type']} {scope['channel']}")
    note("done", (await receive())["n"])


class Broken(SyncConsumer):
    def __init__(self):
        raise LookupError("not to be made")
