"""
The subjects: each module here adapts a layer to the same few calls.

A subject's class is made with the port of Redis and the encryption keys (or None), and has

* ``asynchronous``: whether the calls below are coroutines, all run in one event loop;
* ``send(channel, message)``, ``receive(channel, block)`` → message or None, ``group_send(group, message)``;
* ``queued(channel, message)``: the raw Redis commands that put one message into its queue;
* ``grouped(group, channels)``: the commands that make a group; ``depth(channel)``: the command that counts a queue.

Floors have ``send`` only.
"""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from typing import Any

CAPACITY = 10_000_000  # nothing is ever full
PREFIX = "bench"

Command = tuple  # of str, bytes and numbers, as it goes to Redis


def settings(port: int, keys: list[str] | None) -> dict[str, Any]:
    """Return the settings of a layer, which have the same names for all of them."""
    return {
        "hosts": [f"redis://127.0.0.1:{port}/0"],
        "prefix": PREFIX,
        "capacity": CAPACITY,
        "symmetric_encryption_keys": keys,
    }


@dataclass(frozen=True)
class Subject:
    """One column of the table (or one floor)."""

    key: str
    title: str
    short: str  # column heading, two lines at most
    environment: str
    adapter: str  # module:class
    kind: str  # ours, peer or floor

    def load(self) -> Any:
        """Return the adapter's class; to be called in the subject's environment only."""
        module, _, name = self.adapter.partition(":")
        return getattr(importlib.import_module(f"{__name__}.{module}"), name)


SUBJECTS = (
    Subject("ours", "asgi_redis 2 (hiredis)", "asgi_redis 2\nhiredis", "ours", "ours:Ours", "ours"),
    Subject(
        "ours_plain",
        "asgi_redis 2 (no hiredis)",
        "asgi_redis 2\nwithout hiredis",
        "ours_plain",
        "ours:Ours",
        "ours",
    ),
    Subject(
        "asgi_redis_1",
        "asgi_redis 1.4.3 (redis-py 2.10.6)",
        "asgi_redis\n1.4.3",
        "asgi_redis_1",
        "asgi_redis_1:AsgiRedis1",
        "peer",
    ),
    Subject(
        "channels_redis",
        "channels_redis 4.3.0 in one event loop (hiredis)",
        "channels_redis\none loop, hiredis",
        "channels_redis",
        "channels_redis_async:ChannelsRedisAsync",
        "peer",
    ),
    Subject(
        "channels_redis_plain",
        "channels_redis 4.3.0 in one event loop (no hiredis)",
        "channels_redis\none loop, without",
        "channels_redis_plain",
        "channels_redis_async:ChannelsRedisAsync",
        "peer",
    ),
    Subject(
        "channels_redis_sync",
        "channels_redis 4.3.0, async_to_sync around each call (hiredis)",
        "channels_redis\nasync_to_sync",
        "channels_redis",
        "channels_redis_sync:ChannelsRedisSync",
        "peer",
    ),
    Subject("floor_client", "our send script: Redis.evalsha", "", "ours", "floor:ScriptOnClient", "floor"),
    Subject("floor_connection", "our send script: Connection", "", "ours", "floor:ScriptOnConnection", "floor"),
    Subject("floor_ping", "PING: Connection", "", "ours", "floor:Ping", "floor"),
)
BY_KEY = {subject.key: subject for subject in SUBJECTS}
