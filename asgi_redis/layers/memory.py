"""``InMemoryChannelLayer``: the channel layer within one process."""

from __future__ import annotations

from typing import TYPE_CHECKING

from asgi_redis.engine.stores.memory import MemoryStore
from asgi_redis.layers.options import CommonOptions, takes
from asgi_redis.layers.store import StoreChannelLayer

if TYPE_CHECKING:
    from typing_extensions import Unpack


class InMemoryChannelLayer(StoreChannelLayer):
    """
    A channel layer for the threads and greenlets of one process, for tests and development.

    Messages go between those that share one object, and no further: a process that is forked later starts with an
    empty layer of its own, and ``runworker``, which is a process of its own, refuses it.

    Its options are declared in ``CommonOptions``. Raises ``ValueError`` for an option that cannot work, and
    ``TypeError`` for an unknown one.
    """

    crosses_processes = False

    @takes(CommonOptions)
    def __init__(self, **options: Unpack[CommonOptions]) -> None:
        super().__init__(MemoryStore(), **options)

    def __str__(self) -> str:
        return f"{type(self).__name__}()"
