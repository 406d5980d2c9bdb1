"""What the worker processes of the tests run. They tell what they do in lists of the Redis at TEST_REDIS_URL."""

from __future__ import annotations

import os
import sys
import threading
import time
from typing import Any

import redis

from workers import Channel, Group, route
from workers.exceptions import ConsumeLater
from workers.message import Message

NOTES = os.environ.get("TEST_NOTES", "notes")
client = redis.Redis.from_url(os.environ.get("TEST_REDIS_URL", "redis://127.0.0.1:1"), protocol=2, socket_timeout=30)


def note(what: str, value: Any) -> None:
    client.rpush(f"{NOTES}:{what}", str(value))


def work(message: Message) -> None:
    note("started", message["n"])
    time.sleep(message.get("seconds", 0))
    note("done", message["n"])


def hold(message: Message) -> None:
    """Ends when something is pushed to the list "go", which it learns in a thread that holds up the process's end."""
    note("started", message["n"])
    thread = threading.Thread(target=client.blpop, args=([f"{NOTES}:go"], 20), daemon=False)
    thread.start()
    thread.join()
    note("done", message["n"])


def fail(message: Message) -> None:
    note("started", message["n"])
    raise {"value": ValueError, "exit": SystemExit, "keyboard": KeyboardInterrupt}[message["kind"]]("failed")


def later(message: Message) -> None:
    note("later", message.get("__retries__", 0))
    raise ConsumeLater


def reply(message: Message) -> None:
    Channel("answers").send({"n": message["n"]})
    Group("chat").send({"n": message["n"]})
    note("done", message["n"])


def modules(message: Message) -> None:
    note("django", "django" in sys.modules)


routing = [
    route("work", work),
    route("hold", hold),
    route("fail", fail),
    route("later", later),
    route("reply", reply),
    route("modules", modules),
    route("number", work, n="^only strings match"),
]
