"""Fills the queues and groups of channels_redis 4 and of ours from outside."""

from __future__ import annotations

import time
from typing import Any

from . import PREFIX, Command


class SortedSets:
    """The base of subjects on the wire format of channels_redis, with a ``layer``."""

    layer: Any

    def queued(self, channel: str, message: dict[str, Any]) -> list[Command]:
        return [("ZADD", PREFIX + channel, time.time(), self.layer.serialize(message))]

    def grouped(self, group: str, channels: list[str]) -> list[Command]:
        return [("ZADD", f"{PREFIX}:group:{group}", time.time(), channel) for channel in channels]

    def depth(self, channel: str) -> Command:
        return ("ZCARD", PREFIX + channel)
