"""asgi_redis 2, from this checkout."""

from __future__ import annotations

from typing import Any

from asgi_redis import RedisChannelLayer

from . import CAPACITY, PREFIX
from .sorted_sets import SortedSets


class Ours(SortedSets):
    """The synchronous layer, one object for all threads."""

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
