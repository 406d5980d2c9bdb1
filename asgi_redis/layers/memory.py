"""``InMemoryChannelLayer``: the channel layer within one process."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from asgi_redis.engine.stores.memory import MemoryStore
from asgi_redis.layers.base import Capacities, unknown_setting
from asgi_redis.layers.store import StoreChannelLayer
from asgi_redis.serializers import Key


class InMemoryChannelLayer(StoreChannelLayer):
    """
    A channel layer for the threads and greenlets of one process, for tests and development.

    Messages go between those that share one object, and no further: a process that is forked later starts with an
    empty layer of its own, and ``runworker``, which is a process of its own, refuses it. The settings are those of
    ``RedisChannelLayer``.

    Raises ``ValueError`` for a setting that cannot work, and ``TypeError`` for one that is not known.
    """

    crosses_processes = False

    def __init__(
        self,
        *,
        expiry: float = 60,
        group_expiry: float = 86400,
        capacity: int = 100,
        channel_capacity: Capacities | None = None,
        symmetric_encryption_keys: Sequence[Key] | None = None,
        serializer_format: str = "msgpack",
        max_message_bytes: int = 8 * 1024 * 1024,
        **unknown: Any,
    ) -> None:
        if unknown:
            raise unknown_setting(type(self), next(iter(unknown)))
        super().__init__(
            MemoryStore(),
            expiry=expiry,
            group_expiry=group_expiry,
            capacity=capacity,
            channel_capacity=channel_capacity,
            symmetric_encryption_keys=symmetric_encryption_keys,
            serializer_format=serializer_format,
            max_message_bytes=max_message_bytes,
        )

    def __str__(self) -> str:
        return f"{type(self).__name__}()"
