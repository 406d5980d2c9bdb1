"""asgi_redis 2, from this checkout."""

from __future__ import annotations

from typing import Any

from asgi_redis import RedisChannelLayer

from . import settings
from .sorted_sets import SortedSets


class Ours(SortedSets):
    """The synchronous layer, one object for all threads."""

    asynchronous = False

    def __init__(self, port: int, keys: list[str] | None) -> None:
        self.layer = RedisChannelLayer(**settings(port, keys))
        self.send = self.layer.send
        self.group_send = self.layer.send_group

    def receive(self, channel: str, block: bool) -> Any:
        return self.layer.receive([channel], block=block)[1]
