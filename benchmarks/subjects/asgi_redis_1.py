"""asgi_redis 1.4.3, on the redis-py 2.10.6 that it asks for."""

from __future__ import annotations

import uuid
from typing import Any

from . import PREFIX, Command
from .ours import Ours


class AsgiRedis1(Ours):
    """The layer of asgi_redis 1.4.3, by the same calls; its environment has that release."""

    def queued(self, channel: str, message: dict[str, Any]) -> list[Command]:
        key = PREFIX + uuid.uuid4().hex
        return [
            ("SET", key, self.layer.serialize(message), "EX", self.layer.expiry),
            ("RPUSH", PREFIX + channel, key),
        ]

    def depth(self, channel: str) -> Command:
        return ("LLEN", PREFIX + channel)
