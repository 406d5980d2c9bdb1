"""Statistics and flush: what is asked of all the shards of a layer."""

from __future__ import annotations

from collections.abc import Sequence

from asgi_redis.connection import Shard, delete_matching, execute_all
from asgi_redis.wire import Keys, Operations, shard_of


class Upkeep:
    """The calls of ``RedisChannelLayer`` that have the same names."""

    def __init__(self, shards: Sequence[Shard], keys: Keys, operations: Operations) -> None:
        self._shards = shards
        self._keys = keys
        self._operations = operations

    def global_statistics(self) -> dict[str, int]:
        """Adds up the shards."""
        results = execute_all([(shard, self._operations.global_statistics()) for shard in self._shards])
        messages_count, channel_full_count = (sum(column) for column in zip(*results))
        return {"messages_count": messages_count, "channel_full_count": channel_full_count}

    def channel_statistics(self, queue: str) -> dict[str, float]:
        """Adds up the shards that ``queue``, a channel's name up to its ``!``, may be on."""
        name = queue.encode()
        pinned = "!" in queue or "?" in queue
        shards = [self._shards[shard_of(name, len(self._shards))]] if pinned else self._shards
        results = execute_all([(shard, self._operations.channel_statistics(name)) for shard in shards])
        messages_count, channel_full_count, pending, ages = zip(*results)
        return {
            "messages_count": sum(messages_count),
            "messages_pending": sum(pending),
            "messages_max_age": max(ages),
            "channel_full_count": sum(channel_full_count),
        }

    def flush(self) -> None:
        """Deletes the keys of all channels, groups and counters."""
        for shard in self._shards:
            for pattern in self._keys.patterns():
                delete_matching(shard, pattern)
