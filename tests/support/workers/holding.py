"""Consumers that do not let other greenlets run, for as long as it takes to be killed."""

from __future__ import annotations

from tests.support.workers.consumers import hold, note
from workers import route
from workers.message import Message


def spin(message: Message) -> None:
    note("started", message["n"])
    while True:
        pass


def sleep(message: Message) -> None:
    """Waits as a native library does, which knows nothing of gevent."""
    from gevent.monkey import get_original

    note("started", message["n"])
    get_original("time", "sleep")(60)


routing = [route("spin", spin), route("sleep", sleep), route("hold", hold)]
