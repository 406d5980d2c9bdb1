"""Queues and groups as channels_redis 4 and we keep them, for filling them from outside."""

from __future__ import annotations

import time
from typing import Any

from . import PREFIX, Command


class SortedSets:
    """What a subject on the wire format of channels_redis has in common; ``layer`` is its channel layer."""

    layer: Any

    def queued(self, channel: str, message: dict[str, Any]) -> list[Command]:
        return [("ZADD", PREFIX + channel, time.time(), self.layer.serialize(message))]

    def grouped(self, group: str, channels: list[str]) -> list[Command]:
        return [("ZADD", f"{PREFIX}:group:{group}", time.time(), channel) for channel in channels]

    def depth(self, channel: str) -> Command:
        return ("ZCARD", PREFIX + channel)
