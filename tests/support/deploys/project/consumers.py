"""Answer each frame, and record what was begun and done. A deploy changes the version."""

from __future__ import annotations

import os
import random
import time
from pathlib import Path

from workers import Group
from workers.message import Message

VERSION = 0
WORK_SECONDS = float(os.environ["DEPLOYS_WORK_SECONDS"])
GO = Path(os.environ["DEPLOYS_RECORDS"]) / "go"

_records = os.open(GO.with_name(f"{os.getpid()}.records"), os.O_WRONLY | os.O_CREAT | os.O_APPEND)


def record(what: str, text: str) -> None:
    os.write(_records, f"{what} {text}\n".encode())  # one call: it is there even if the process is killed


def connect(message: Message) -> None:
    Group("all").add(message.reply_channel)
    message.reply_channel.send({"accept": True})


def receive(message: Message) -> None:
    text = message["text"]
    record("begun", text)
    if WORK_SECONDS:
        time.sleep(random.uniform(0, 2 * WORK_SECONDS))
    message.reply_channel.send({"text": f"{text}:{VERSION}:{os.getpid()}"})
    record("done", text)


def hold(message: Message) -> None:
    """As ``receive``, once the file ``go`` is there."""
    record("holds", message["text"])
    while not GO.exists():
        time.sleep(0.01)
    receive(message)


def disconnect(message: Message) -> None:
    record("disconnected", str(message["code"]))
    Group("all").discard(message.reply_channel)
