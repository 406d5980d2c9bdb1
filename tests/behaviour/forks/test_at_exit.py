"""The first, or a last, use when the interpreter ends, where no thread can be started any more."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

import asgi_redis
from asgi_redis import RedisChannelLayer
from tests.support.stores.lmdb_stores import base  # noqa: F401  a fixture

pytestmark = pytest.mark.native("event loops in native threads")

ROOT = Path(asgi_redis.__file__).parent.parent

PROGRAM = """
import asyncio, atexit, sys, threading

def refuse(thread):
    raise RuntimeError("can't create new thread at interpreter shutdown")

def say(number):
    if sys.version_info < (3, 12) or sys.version_info >= (3, 12, 3):
        threading.Thread.start = refuse  # as in between
    for kind in ("aio-redis", "aio-ipc", "aio-pubsub"):
        layer = LAYERS[kind]
        asyncio.run(layer.send("status", {"number": number}))
        asyncio.run(layer.group_send("nobody", {}))
        if kind != "aio-pubsub":
            asyncio.run(layer.group_add("there", "status"))
    assert LAYERS["aio-ipc"].layer.receive(["status"]) == ("status", {"number": number})
    LAYERS["redis"].send("status", {"number": number})
    assert LAYERS["redis"].receive(["status"]) == ("status", {"number": number})
    asyncio.run(LAYERS["aio-redis"].close())

atexit.register(say, 2)  # called after the package has closed its layers
from tests.support.forks.preloaded import LAYERS
atexit.register(say, 1)  # and before

if sys.argv[1] == "used":
    asyncio.run(LAYERS["aio-redis"].send("status", {"number": 0}))
"""


@pytest.mark.parametrize("before", ["fresh", "used"])
def test_what_is_sent_at_the_end_of_the_interpreter_is_sent(before, redis_server, prefix, base):  # noqa: F811
    environment = {
        **os.environ,
        "REDIS_URLS": redis_server.url,
        "PREFIX": prefix,
        "IPC_PATH": str(base),
        "KINDS": "redis aio-redis aio-pubsub aio-ipc",
        "PYTHONPATH": str(ROOT),
    }
    command = [sys.executable, "-c", PROGRAM, before]
    ended = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=40)
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "", "")
    with RedisChannelLayer(hosts=[redis_server.url], prefix=f"{prefix}aio-redis") as layer:
        sent = [message["number"] for _, message in layer.receive_batch(["status"], 10)]
    assert sent == ([0, 1, 2] if before == "used" else [1, 2])
