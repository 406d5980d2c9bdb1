"""``InMemoryChannelLayer``: the channel layer within one process."""

from __future__ import annotations

from typing import TYPE_CHECKING

from asgi_redis.engine.stores.memory.store import MemoryStore
from asgi_redis.layers.options import CommonOptions, takes
from asgi_redis.layers.store import StoreChannelLayer

if TYPE_CHECKING:
    from typing_extensions import Unpack


class InMemoryChannelLayer(StoreChannelLayer):
    """
    A channel layer for the threads and greenlets of one process.

    It is for tests and development. Only the users of one object share its messages: a forked process starts with an
    empty layer, and ``runworker``, which is a separate process, refuses it.
    """

    crosses_processes = False

    @takes(CommonOptions)
    def __init__(self, **options: Unpack[CommonOptions]) -> None:
        super().__init__(MemoryStore(), **options)

    def __str__(self) -> str:
        return f"{type(self).__name__}()"
