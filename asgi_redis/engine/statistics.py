"""Statistics and flush, over all the shards of a layer."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from redis.exceptions import ResponseError

from asgi_redis.connection import Shard, delete_matching, execute_on_shards, is_error, pipeline_execute
from asgi_redis.wire import Keys, StatisticsOperations
from asgi_redis.wire.message import ChannelStatistics, GlobalStatistics

_Statistics = tuple[int, int, int, int, float]


class Statistics:
    """The counters of one layer. Each call adds up the shards."""

    def __init__(self, shards: Sequence[Shard], keys: Keys, operations: StatisticsOperations) -> None:
        self._shards = shards
        self._keys = keys
        self._operations = operations

    def of_all(self) -> GlobalStatistics:
        """Return the counters of all channels."""
        results = execute_on_shards([(shard, self._operations.of_all()) for shard in self._shards])
        sent, refused, expired = map(sum, zip(*results))
        return {"messages_count": sent, "channel_full_count": refused, "messages_expired": expired}

    def of_channel(self, queue: str) -> ChannelStatistics:
        """Return the counters of a queue."""
        operation = self._operations.of_channel(queue.encode())
        return _added_up(execute_on_shards([(shard, operation) for shard in self._shards_of(queue)]))

    def of_channels(self, queues: Iterable[str]) -> dict[str, ChannelStatistics]:
        """Return those of several queues, without queues that Redis refuses."""
        found: dict[str, list[_Statistics]] = {queue: [] for queue in queues}
        on_shards: dict[Shard, list[str]] = {}
        for queue in found:
            for shard in self._shards_of(queue):
                on_shards.setdefault(shard, []).append(queue)
        for shard, names in on_shards.items():
            operations = [self._operations.of_channel(name.encode()) for name in names]
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
        """Delete the keys of all channels, groups and counters."""
        for shard in self._shards:
            for pattern in self._keys.patterns():
                delete_matching(shard, pattern, self._keys.is_own)


def _added_up(results: Sequence[_Statistics]) -> ChannelStatistics:
    sent, refused, expired, pending, ages = zip(*results)
    return {
        "messages_count": sum(sent),
        "messages_pending": sum(pending),
        "messages_max_age": max(ages),
        "channel_full_count": sum(refused),
        "messages_expired": sum(expired),
    }
