"""Statistics and flush, over all the shards of a layer."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from redis.exceptions import RedisError, ResponseError

from asgi_redis.connection import Shard, delete_matching, execute_on_shards, is_error, is_unsent, pipeline_execute
from asgi_redis.engine.counts import CountsByQueue
from asgi_redis.exceptions import ChannelLayerError
from asgi_redis.wire import Keys, Operation, StatisticsOperations
from asgi_redis.wire.message import ChannelStatistics, Counter, GlobalStatistics
from asgi_redis.wire.names import place, shard_of
from asgi_redis.wire.statistics import added_up, channel_added_up

logger = logging.getLogger("asgi_redis")


class Statistics:
    """The counters of one layer. Each call adds up the shards."""

    def __init__(self, shards: Sequence[Shard], keys: Sequence[Keys], expiry: float) -> None:
        self._shards = shards
        self._read_only = [shard.for_reading() for shard in shards]
        self._keys = keys
        self._operations = [StatisticsOperations(of_shard, expiry) for of_shard in keys]

    def of_all(self) -> GlobalStatistics:
        """Return the counters of all channels."""
        pairs = zip(self._read_only, self._operations)
        return added_up(execute_on_shards([(shard, operations.of_all()) for shard, operations in pairs]))

    def of_channel(self, queue: str) -> ChannelStatistics:
        """Return the counters of a queue."""
        name, numbers = place(queue, len(self._shards))
        requests = [(self._read_only[number], self._operations[number].of_channel(name)) for number in numbers]
        return channel_added_up(execute_on_shards(requests))

    def of_channels(self, queues: Iterable[str]) -> dict[str, ChannelStatistics]:
        """Return those of several queues, without queues that Redis refuses."""
        found: dict[str, list[ChannelStatistics]] = {queue: [] for queue in queues}
        on_shards: dict[int, list[str]] = {}
        for queue in found:
            for number in place(queue, len(self._shards))[1]:
                on_shards.setdefault(number, []).append(queue)
        for number, names in on_shards.items():
            operations = [self._operations[number].of_channel(name.encode()) for name in names]
            # With its text the script is known to all that follow, rather than refused for each of them.
            operations[0] = operations[0]._replace(packed=operations[0].with_text())
            for name, result in zip(names, self._execute(self._read_only[number], operations)):
                if isinstance(result, ResponseError):
                    found.pop(name, None)
                elif is_error(result):
                    raise result
                elif name in found:
                    found[name].append(result)
        return {queue: channel_added_up(results) for queue, results in found.items()}

    @staticmethod
    def _execute(shard: Shard, operations: Sequence[Operation]) -> Iterator[Any]:
        """Yield the results, with further attempts where the shard has refused."""
        for operation, result in zip(operations, pipeline_execute(shard.server, operations)):
            if isinstance(result, RedisError):
                try:
                    yield shard.retry(operation, result)
                except RedisError as error:
                    if shard.may_retry(error):
                        raise  # all its keys are away
                    yield error
            else:
                yield result

    def add(self, counts: CountsByQueue) -> CountsByQueue:
        """Add to the counters; return the counts of shards that are away."""
        on_shards: dict[int, dict[bytes, Mapping[Counter, int]]] = {}
        for queue, of_queue in counts.items():
            name = queue.encode()
            on_shards.setdefault(shard_of(name, len(self._shards)), {})[name] = of_queue
        unwritten: dict[str, Mapping[Counter, int]] = {}
        for number, of_shard in on_shards.items():
            try:
                self._shards[number].execute(self._operations[number].add(of_shard), fail_fast=True)
            except (RedisError, ChannelLayerError) as error:
                logger.debug("No counts are written at %s: %s", self._shards[number].name, error)
                if is_unsent(error):
                    unwritten.update({name.decode(): of_queue for name, of_queue in of_shard.items()})
        return unwritten

    def flush(self) -> None:
        """Delete the keys of all channels, groups and counters."""
        for shard, keys in zip(self._shards, self._keys):
            for pattern in keys.patterns():
                delete_matching(shard, pattern, keys.is_own)
