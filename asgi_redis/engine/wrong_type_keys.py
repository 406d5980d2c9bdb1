"""Keys of another type in the place of queues: such a channel cannot be read, and costs the others nothing."""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence

from redis.exceptions import RedisError

from asgi_redis.connection import Shard, describe_wrong_type
from asgi_redis.wire.server import types

logger = logging.getLogger("asgi_redis")

_QUEUE_TYPES = (b"zset", b"none")
_LOOK_AGAIN = 2.0  # seconds


class WrongTypeKeys:
    """
    Finds out which keys of ``shards`` are to be left out, and when one may be read again.

    Each makes two lines in the log: one when it is found, one when it is a queue again.
    """

    def __init__(self, shards: Sequence[Shard]) -> None:
        self._shards = shards
        self._found: dict[int, set[bytes]] = {}
        self._look_at = 0.0

    def find(self, shard: int, keys: Sequence[bytes]) -> bool:
        """Looks at ``keys``, reading which was refused; returns whether one of them is misused."""
        try:
            kinds = self._shards[shard].execute(types(keys), fail_fast=True)
        except RedisError:
            return False  # an outage then, which the next reading shows as well
        misused = {key: kind for key, kind in zip(keys, kinds) if kind not in _QUEUE_TYPES}
        if not misused:
            return False
        found = self._found.setdefault(shard, set())
        for key in misused.keys() - found:
            told = describe_wrong_type(self._shards[shard].host, key, misused[key])
            logger.error("A channel cannot be read: %s", told)
        found.update(misused)
        self._look_at = time.monotonic() + _LOOK_AGAIN
        return True

    def without(self, turn: list[tuple[int, list[bytes]]]) -> list[tuple[int, list[bytes]]]:
        """Returns the shards of ``turn``, and of their keys those that are queues."""
        if not self._found:
            return turn
        if time.monotonic() >= self._look_at:
            self._look_again()
        left = [(shard, [key for key in keys if key not in self._found.get(shard, ())]) for shard, keys in turn]
        return [(shard, keys) for shard, keys in left if keys]

    def _look_again(self) -> None:
        self._look_at = time.monotonic() + _LOOK_AGAIN
        for shard, found in list(self._found.items()):
            keys = list(found)
            try:
                kinds = self._shards[shard].execute(types(keys), fail_fast=True)
            except RedisError:
                continue
            for key, kind in zip(keys, kinds):
                if kind in _QUEUE_TYPES:
                    found.discard(key)
                    logger.warning(
                        "Key %r at %s is a queue again", key.decode(errors="replace"), self._shards[shard].host
                    )
            if not found:
                del self._found[shard]
