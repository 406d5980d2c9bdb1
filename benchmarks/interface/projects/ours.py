"""Consumers of ``workers`` behind the interface: settings, routing, URLs and a sender."""

from __future__ import annotations

import json
import os
import sys

SECRET_KEY = "x"
ALLOWED_HOSTS = ["*"]
INSTALLED_APPS = ["workers"]
ROOT_URLCONF = "benchmarks.interface.projects.views"
LOGGING_CONFIG = None
CHANNEL_LAYERS = {
    "default": {
        "BACKEND": "asgi_redis.RedisChannelLayer",
        "CONFIG": json.loads(os.environ.get("BENCH_LAYER", "{}")),
        "ROUTING": f"{__name__}.routing",
    }
}


CHANNEL_INTERFACE = {"max_sockets": 20_000}


def join(message):
    from workers import Group

    message.reply_channel.send({"accept": True})
    if message["path"].startswith("/group"):
        Group("all").add(message.reply_channel)


def echo(message):
    message.reply_channel.send({"text": message["text"]})


routing = {"websocket.connect": join, "websocket.receive": echo}


def send() -> None:
    """Send a line of the standard input to all of the group."""
    import django

    from workers import Group

    django.setup()
    for line in sys.stdin:
        Group("all").send({"text": line.strip()})


if __name__ == "__main__":
    send()
