"""The operations that read counters, and count the messages that wait."""

from __future__ import annotations

from collections.abc import Sequence

from asgi_redis.wire import scripts
from asgi_redis.wire.keys import Keys
from asgi_redis.wire.message import COUNTERS, ChannelStatistics, GlobalStatistics, statistics_of
from asgi_redis.wire.operation import Operation, command, number, run_script


class StatisticsOperations:
    """Makes the operations of one layer, whose ``expiry`` is in seconds."""

    def __init__(self, keys: Keys, expiry: float) -> None:
        self._keys = keys
        self._expiry = number(expiry)

    def of_channel(self, queue: bytes) -> Operation:
        """Reads as ``ChannelStatistics``."""
        keys = (self._keys.queue(queue), self._keys.counters(queue))
        return run_script(scripts.CHANNEL_STATISTICS, keys, (self._expiry,), _read_of_channel)

    def of_all(self) -> Operation:
        """Reads as ``GlobalStatistics``."""
        return Operation(command(b"HMGET", self._keys.global_counters, *map(str.encode, COUNTERS)), _read_of_all)


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
    return {
        **added_up(statistics),
        "messages_pending": sum(one["messages_pending"] for one in statistics),
        "messages_max_age": max(one["messages_max_age"] for one in statistics),
    }
