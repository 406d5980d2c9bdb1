"""Consumers as an existing project has them: everything that they import is Channels'."""

from __future__ import annotations

import os
import sys
import threading

from channels import Channel, Group
from channels.auth import channel_session_user, channel_session_user_from_http
from channels.exceptions import ConsumeLater, DenyConnection, WebsocketCloseException
from channels.generic.websockets import WebsocketConsumer
from channels.message import Message, pending_message_store
from channels.sessions import enforce_ordering
from channels.signals import consumer_finished, consumer_started, worker_process_ready, worker_ready
from django.dispatch import receiver

finished = threading.local()


@receiver(worker_process_ready)
def process_ready(sender, **kwargs):
    sys.stderr.write("signal: worker_process_ready\n")


@receiver(worker_ready)
def ready(sender, **kwargs):
    sys.stderr.write("signal: worker_ready\n")


@receiver(consumer_started)
def started(sender, environ=None, **kwargs):
    finished.now = False


@receiver(consumer_finished)
def ended(sender, **kwargs):
    finished.now = True


@enforce_ordering
@channel_session_user_from_http
def join(message, room):
    message.channel_session["room"] = room
    message.reply_channel.send({"accept": True})
    Group(room).add(message.reply_channel)
    Group(room).send({"text": f"{message.user.username or 'anonymous'} joins"})


@enforce_ordering
@channel_session_user
def say(message):
    Group(message.channel_session["room"]).send({"text": f"{message.user.username}: {message['text']}"})


@channel_session_user
def leave(message):
    Group(message.channel_session["room"]).discard(message.reply_channel)
    Group(message.channel_session["room"]).send({"text": f"{message.user.username} leaves"})


def deny(message):
    raise DenyConnection("nobody comes in here")


class Echo(WebsocketConsumer):
    def receive(self, text=None, **kwargs):
        self.send(text=text)


def answer(message):
    """Does what the text asks for; every answer goes back over the websocket."""
    question = message["text"]
    reply = message.reply_channel
    if question == "who":
        assert isinstance(message, Message)
        reply.send({"text": f"{os.getpid()} {pending_message_store.active} {finished.now}"})
    elif question == "order":
        Channel(reply.name).send({"text": "kept until the end"})
        Channel(reply.name).send({"text": "at once"}, immediately=True)
    elif question == "close":
        raise WebsocketCloseException(4001)
    elif question == "close a job":
        Channel("jobs").send({"close": True})
    elif question == "fail":
        reply.send({"text": "sent before the failure"})
        raise RuntimeError("as it happens")
    elif question == "job":
        Channel("jobs").send({"reply": reply.name, "data": b"\x00\xff", "numbers": [1, [2, 3]]})
    elif question == "later":
        Channel("jobs.later").send({"reply": reply.name})
    elif question == "delay":
        Channel("asgi.delay").send(
            {"channel": "jobs", "content": {"reply": reply.name, "data": "late", "numbers": []}, "delay": 100}
        )


def job(message):
    if "close" in message:
        raise WebsocketCloseException(4001)  # there is nothing to close, and this is an error
    Channel(message["reply"]).send({"text": f"{message['data']!r} {message['numbers']!r}"})


def job_later(message):
    if message.get("__retries__", 0) < 3:
        raise ConsumeLater
    Channel(message["reply"]).send({"text": f"after {message['__retries__']} retries"})
