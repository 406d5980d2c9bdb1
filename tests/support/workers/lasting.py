"""Consumers that leave something behind for the end of the process, or that start another one."""

from __future__ import annotations

import multiprocessing
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from tests.support.workers.consumers import NOTES, client, hold, note
from workers import route
from workers.message import Message


def leave(message: Message) -> None:
    """Does not wait for a thread that the interpreter waits for."""
    ThreadPoolExecutor(1).submit(client.blpop, [f"{NOTES}:go"], 20)
    note("done", message["n"])


def linger(ready: Any) -> None:
    ready.set()
    until = time.monotonic() + 20
    while time.monotonic() < until:  # busy: a signal would interrupt a sleep, and Python then call its handler
        pass


def terminate(message: Message) -> None:
    forking = multiprocessing.get_context("fork")
    ready = forking.Event()
    child = forking.Process(target=linger, args=(ready,))
    child.start()
    ready.wait()  # Python drops a signal that comes while it is still forking
    child.terminate()
    child.join()
    note("done", child.exitcode)


routing = [route("hold", hold), route("leave", leave), route("terminate", terminate)]
