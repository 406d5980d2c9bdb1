"""The floor: the cost of the script, and of a round trip, without a layer."""

from __future__ import annotations

import itertools
from typing import Any

import redis

from asgi_redis.wire.scripts import SEND

from . import CAPACITY, PREFIX, Command

# As in the header of send.lua, from ARGV[2] on: expiry, ttl, channel_ttl, global_ttl, count_full.
SETTINGS = (60, 60_000, 3600, 86400, 1)
# As long as the message of 100 B is as msgpack, less the 12 bytes that make a member its own.
BODY = b"x" * 126


class ScriptOnClient:
    """One EVALSHA of our send script through ``redis.Redis.evalsha``."""

    asynchronous = False

    def __init__(self, port: int, keys: list[str] | None) -> None:
        client = redis.Redis(host="127.0.0.1", port=port, protocol=2)
        self._evalsha, self._count = client.evalsha, itertools.count()
        self._sha = client.script_load(SEND.text)

    def send(self, channel: str, message: dict[str, Any]) -> None:
        member = b"%012d" % next(self._count) + BODY
        self._evalsha(
            self._sha, 3, PREFIX + channel, "stats:" + channel, "stats:#global#",
            CAPACITY, *SETTINGS, member,
        )  # fmt: skip  # keys and arguments, a line each

    def receive(self, channel: str, block: bool) -> None:
        raise NotImplementedError

    def depth(self, channel: str) -> Command | None:
        return ("ZCARD", PREFIX + channel)


class ScriptOnConnection(ScriptOnClient):
    """The same through a ``redis.Connection``, past redis-py's pool and retries."""

    def __init__(self, port: int, keys: list[str] | None) -> None:
        super().__init__(port, keys)
        self._connection = redis.Connection(host="127.0.0.1", port=port, protocol=2)
        self._connection.connect()

    def send(self, channel: str, message: dict[str, Any]) -> None:
        member = b"%012d" % next(self._count) + BODY
        self._connection.send_command(
            "EVALSHA", self._sha, 3, PREFIX + channel, "stats:" + channel, "stats:#global#",
            CAPACITY, *SETTINGS, member,
        )  # fmt: skip  # keys and arguments, a line each
        self._connection.read_response()


class Ping(ScriptOnConnection):
    """One PING likewise: the round trip alone."""

    def send(self, channel: str, message: dict[str, Any]) -> None:
        self._connection.send_command("PING")
        self._connection.read_response()

    def depth(self, channel: str) -> Command | None:
        return None  # nothing is queued
