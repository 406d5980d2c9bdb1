"""What the worker processes of these tests run, beside ``tests.support.workers.consumers``."""

from __future__ import annotations

from tests.support.workers.consumers import NOTES as NAME
from tests.support.workers.consumers import client, fail, hold, note, work
from workers import Channel, route
from workers.message import Message

kept: list[bytes] = []


def grow(message: Message) -> None:
    """Keeps memory, and writes on it: what is only reserved does not count."""
    kept.append(b"x" * message["bytes"])
    note("done", message["n"])


def spread(message: Message) -> None:
    """Sends two more messages, until they are of the last generation."""
    note("done", message["n"])
    if message["n"]:
        for _ in range(2):
            Channel("spread").send({"n": message["n"] - 1})


def linger_here(message: Message) -> None:
    """Waits in its own thread or greenlet for what ``Notes.go`` gives."""
    note("started", message["n"])
    client.blpop([f"{NAME}:go"], 20)
    note("done", message["n"])


routing = [
    route("work", work),
    route("hold", hold),
    route("fail", fail),
    route("grow", grow),
    route("spread", spread),
    route("linger", linger_here),
]
