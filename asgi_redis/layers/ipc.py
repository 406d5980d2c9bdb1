"""``IPCChannelLayer``: the channel layer between the processes of one machine."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from asgi_redis.exceptions import ConfigurationError, MissingExtra
from asgi_redis.layers.options import CommonOptions, IPCOptions, resolve, select, takes
from asgi_redis.layers.store import StoreChannelLayer

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from asgi_redis.engine.stores.lmdb.store import LMDBStore


class IPCChannelLayer(StoreChannelLayer):
    """
    A channel layer for the processes of one user on one machine.

    It needs the extra ``ipc``. Messages are in memory (``/dev/shm`` on Linux, else in the directory for temporary
    files), private to the user, and outlive the processes. Threads, greenlets and forked processes may share one
    object. Processes with the same ``prefix`` and ``path`` share their messages. When ``max_bytes`` are in use,
    messages are refused as by a full channel, and can still be read.

    Raises ``ImportError`` where ``lmdb`` is not installed.
    """

    @takes(IPCOptions)
    def __init__(self, **options: Unpack[IPCOptions]) -> None:
        if options.get("max_message_bytes", 0) is None:
            del options["max_message_bytes"]
        settings = resolve(self, IPCOptions, options)
        max_bytes, max_message_bytes = settings["max_bytes"], settings["max_message_bytes"]
        if "max_message_bytes" not in options:
            settings["max_message_bytes"] = min(max_message_bytes, max_bytes // 8)
        elif max_message_bytes > max_bytes // 2:
            raise ConfigurationError(
                f"max_message_bytes must be at most half of max_bytes, {max_bytes // 2}, not {max_message_bytes!r}"
            )
        self.prefix = settings["prefix"]
        store = _store(self.prefix, settings["path"], max_bytes)
        self.path = store.directory
        super().__init__(store, **select(CommonOptions, settings))

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
