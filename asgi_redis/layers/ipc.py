"""``IPCChannelLayer``: the channel layer between the processes of one machine, without a server."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from asgi_redis.exceptions import ConfigurationError, MissingExtra
from asgi_redis.layers.base import Capacities, unknown_setting
from asgi_redis.layers.store import StoreChannelLayer
from asgi_redis.serializers import Key

if TYPE_CHECKING:
    from asgi_redis.engine.stores.lmdb.store import LMDBStore

_SMALLEST = 1024 * 1024
_LARGEST_MESSAGE = 8 * 1024 * 1024


class IPCChannelLayer(StoreChannelLayer):
    """
    A channel layer for the processes of one user on one machine. Needs the extra ``ipc``.

    Messages are in memory (``/dev/shm`` on Linux, else in the directory for temporary files), private to the user,
    and outlive the processes. One object may be shared by all threads and greenlets, and by processes that are forked
    later. Processes with the same ``prefix`` and ``path`` share their messages.

    ``path`` is the directory that the stores are in, one for each prefix. ``max_bytes`` bounds the memory that
    messages and groups take: what is sent beyond it is refused like a message to a full channel, and can still be
    read. ``max_message_bytes`` bounds a serialised message; by default it is 8 MiB, or an eighth of ``max_bytes`` if
    that is less. The other settings are those of ``RedisChannelLayer``.

    Raises ``ValueError`` for a setting that cannot work, ``TypeError`` for one that is not known, and ``ImportError``
    where ``lmdb`` is not installed.
    """

    def __init__(
        self,
        *,
        prefix: str = "asgi",
        expiry: float = 60,
        group_expiry: float = 86400,
        capacity: int = 100,
        channel_capacity: Capacities | None = None,
        symmetric_encryption_keys: Sequence[Key] | None = None,
        serializer_format: str = "msgpack",
        path: str | os.PathLike[str] | None = None,
        max_bytes: int = 64 * 1024 * 1024,
        max_message_bytes: int | None = None,
        **unknown: Any,
    ) -> None:
        if unknown:
            raise unknown_setting(type(self), next(iter(unknown)))
        if isinstance(max_bytes, bool) or not isinstance(max_bytes, int) or max_bytes < _SMALLEST:
            raise ConfigurationError(f"max_bytes must be a number of bytes, at least {_SMALLEST}, not {max_bytes!r}")
        if max_message_bytes is None:
            max_message_bytes = min(_LARGEST_MESSAGE, max_bytes // 8)
        elif isinstance(max_message_bytes, int) and max_message_bytes > max_bytes // 2:
            raise ConfigurationError(
                f"max_message_bytes must be at most half of max_bytes, {max_bytes // 2}, not {max_message_bytes!r}"
            )
        store = _store(prefix, path, max_bytes)
        self.prefix = prefix
        self.path = store.directory
        super().__init__(
            store,
            expiry=expiry,
            group_expiry=group_expiry,
            capacity=capacity,
            channel_capacity=channel_capacity,
            symmetric_encryption_keys=symmetric_encryption_keys,
            serializer_format=serializer_format,
            max_message_bytes=max_message_bytes,
        )

    def __str__(self) -> str:
        return f"{type(self).__name__}(path={str(self.path)!r})"


def _store(prefix: str, path: str | os.PathLike[str] | None, max_bytes: int) -> LMDBStore:
    try:
        from asgi_redis.engine.stores.lmdb.directory import default_base, directory_for, trusted
        from asgi_redis.engine.stores.lmdb.store import LMDBStore
    except ModuleNotFoundError as error:
        if error.name != "lmdb":
            raise
        raise MissingExtra('IPCChannelLayer needs lmdb: pip install "asgi_redis[ipc]"') from error
    base = default_base() if path is None else trusted(Path(path))
    return LMDBStore(directory_for(prefix, base), max_bytes)
