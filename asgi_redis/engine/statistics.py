"""Statistics and flush: what is asked of all the shards of a layer."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from redis.exceptions import ResponseError

from asgi_redis.connection import Shard, delete_matching, execute_on_shards, is_error, pipeline_execute
from asgi_redis.wire import Keys, Operations
from asgi_redis.wire.message import ChannelStatistics, GlobalStatistics

_Statistics = tuple[int, int, int, int, float]


class Upkeep:
    """The calls of ``RedisChannelLayer`` that have the same names."""

    def __init__(self, shards: Sequence[Shard], keys: Keys, operations: Operations) -> None:
        self._shards = shards
        self._keys = keys
        self._operations = operations

    def global_statistics(self) -> GlobalStatistics:
        """Adds up the shards."""
        results = execute_on_shards([(shard, self._operations.global_statistics()) for shard in self._shards])
        messages_count, channel_full_count, messages_expired = map(sum, zip(*results))
        return {
            "messages_count": messages_count,
            "channel_full_count": channel_full_count,
            "messages_expired": messages_expired,
        }

    def channel_statistics(self, queue: str) -> ChannelStatistics:
        """Adds up the shards that ``queue``, a channel's name up to its ``!``, may be on."""
        operation = self._operations.channel_statistics(queue.encode())
        return _added_up(execute_on_shards([(shard, operation) for shard in self._shards_of(queue)]))

    def many_channel_statistics(self, queues: Iterable[str]) -> dict[str, ChannelStatistics]:
        """Does the same for several queues, in one round trip for each shard; leaves out those that Redis refuses."""
        found: dict[str, list[_Statistics]] = {queue: [] for queue in queues}
        on_shards: dict[Shard, list[str]] = {}
        for queue in found:
            for shard in self._shards_of(queue):
                on_shards.setdefault(shard, []).append(queue)
        for shard, names in on_shards.items():
            operations = [self._operations.channel_statistics(name.encode()) for name in names]
            # With its text the script is known to all that follow, rather than refused for each of them.
            operations[0] = operations[0]._replace(packed=operations[0].with_text())
            for name, result in zip(names, pipeline_execute(shard, operations)):
                if isinstance(result, ResponseError):
                    found.pop(name, None)
                elif is_error(result):
                    raise result
                elif name in found:
                    found[name].append(result)
        return {queue: _added_up(results) for queue, results in found.items()}

    def _shards_of(self, queue: str) -> list[Shard]:
        _, places = self._keys.place(queue, len(self._shards))
        return [self._shards[place] for place in places]

    def flush(self) -> None:
        """Deletes the keys of all channels, groups and counters."""
        for shard in self._shards:
            for pattern in self._keys.patterns():
                delete_matching(shard, pattern, self._keys.is_own)


def _added_up(results: Sequence[_Statistics]) -> ChannelStatistics:
    messages_count, channel_full_count, messages_expired, pending, ages = zip(*results)
    return {
        "messages_count": sum(messages_count),
        "messages_pending": sum(pending),
        "messages_max_age": max(ages),
        "channel_full_count": sum(channel_full_count),
        "messages_expired": sum(messages_expired),
    }
