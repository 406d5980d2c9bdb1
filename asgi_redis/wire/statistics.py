"""The operations that read counters, and count the messages that wait."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from asgi_redis.wire import scripts
from asgi_redis.wire.keys import Keys
from asgi_redis.wire.message import COUNTERS, ChannelStatistics, Counter, GlobalStatistics, statistics_of
from asgi_redis.wire.operation import Operation, command, number, run_script
from asgi_redis.wire.send import counter_ttls


class StatisticsOperations:
    """Makes the operations of one layer, whose ``expiry`` is in seconds."""

    def __init__(self, keys: Keys, expiry: float) -> None:
        self._keys = keys
        self._expiry = number(expiry)
        self._ttls = counter_ttls(expiry)

    def of_channel(self, queue: bytes) -> Operation:
        """Reads as ``ChannelStatistics``."""
        keys = (self._keys.queue(queue), self._keys.counters(queue))
        return run_script(scripts.CHANNEL_STATISTICS, keys, (self._expiry,), _read_of_channel)

    def of_all(self) -> Operation:
        """Reads as ``GlobalStatistics``."""
        return Operation(command(b"HMGET", self._keys.global_counters, *map(str.encode, COUNTERS)), _read_of_all)

    def add(self, counts: Mapping[bytes, Mapping[Counter, int]]) -> Operation:
        """Add counts to those of queues and of all; of all only for the queue ``b""``."""
        keys = [self._keys.counters(queue) for queue in counts if queue]
        totals: dict[Counter, int] = {}
        fields: list[tuple[int, Counter, int]] = []
        for place, queue in enumerate(filter(None, counts), 1):
            fields += [(place, *count) for count in counts[queue].items()]
        for of_queue in counts.values():
            for counter, count in of_queue.items():
                totals[counter] = totals.get(counter, 0) + count
        keys.append(self._keys.global_counters)
        fields += [(len(keys), *total) for total in totals.items()]
        arguments = [*self._ttls, *(str(value).encode() for field in fields for value in field)]
        return run_script(scripts.ADD_COUNTS, keys, arguments)


def _read_of_channel(reply: list[int]) -> ChannelStatistics:
    pending, microseconds, *counts = reply
    return {
        **statistics_of(counts),
        "messages_pending": pending,
        "messages_max_age": microseconds / 1000000,
    }


def _read_of_all(reply: list[bytes | None]) -> GlobalStatistics:
    return statistics_of(int(count or 0) for count in reply)


def added_up(statistics: Sequence[GlobalStatistics]) -> GlobalStatistics:
    """Return the sums of the counters of several shards or sides."""
    return statistics_of(sum(one[name] for one in statistics) for name in COUNTERS)


def channel_added_up(statistics: Sequence[ChannelStatistics]) -> ChannelStatistics:
    """Return the statistics of a channel from those on each of its shards."""
    if len(statistics) == 1:
        return statistics[0]
    return {
        **added_up(statistics),
        "messages_pending": sum(one["messages_pending"] for one in statistics),
        "messages_max_age": max(one["messages_max_age"] for one in statistics),
    }
