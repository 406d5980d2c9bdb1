"""asgi_redis 1.4.3, on the redis-py 2.10.6 that it asks for."""

from __future__ import annotations

import time
import uuid
from typing import Any

from asgi_redis import RedisChannelLayer

from . import CAPACITY, PREFIX, Command


class AsgiRedis1:
    """The layer of asgi_redis 1.4.3; one object for all threads, as in its worker."""

    asynchronous = False

    def __init__(self, port: int, keys: list[str] | None) -> None:
        self.layer = RedisChannelLayer(
            hosts=[f"redis://127.0.0.1:{port}/0"],
            prefix=PREFIX,
            capacity=CAPACITY,
            symmetric_encryption_keys=keys,
        )
        self.send = self.layer.send
        self.group_send = self.layer.send_group

    def receive(self, channel: str, block: bool) -> Any:
        return self.layer.receive([channel], block=block)[1]

    def queued(self, channel: str, message: dict[str, Any]) -> list[Command]:
        key = PREFIX + uuid.uuid4().hex
        return [
            ("SET", key, self.layer.serialize(message), "EX", self.layer.expiry),
            ("RPUSH", PREFIX + channel, key),
        ]

    def grouped(self, group: str, channels: list[str]) -> list[Command]:
        return [("ZADD", f"{PREFIX}:group:{group}", time.time(), channel) for channel in channels]

    def depth(self, channel: str) -> Command:
        return ("LLEN", PREFIX + channel)
