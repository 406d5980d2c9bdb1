"""The operations that read counters, and count the messages that wait."""

from __future__ import annotations

from asgi_redis.wire import scripts
from asgi_redis.wire.keys import Keys
from asgi_redis.wire.operation import Operation, command, number, run_script


class StatisticsOperations:
    """Makes the operations of one layer, whose ``expiry`` is in seconds."""

    def __init__(self, keys: Keys, expiry: float) -> None:
        self._keys = keys
        self._expiry = number(expiry)

    def of_channel(self, queue: bytes) -> Operation:
        """Reads as messages sent, refused, expired, pending; the greatest age in seconds."""
        keys = (self._keys.queue(queue), self._keys.counters(queue))
        return run_script(scripts.CHANNEL_STATISTICS, keys, (self._expiry,), _read_of_channel)

    def of_all(self) -> Operation:
        """Reads as messages_count, channel_full_count and messages_expired."""
        fields = b"messages_count", b"channel_full_count", b"messages_expired"
        return Operation(command(b"HMGET", self._keys.global_counters, *fields), _read_of_all)


def _read_of_channel(reply: list[int]) -> tuple[int, int, int, int, float]:
    sent, refused, expired, pending, microseconds = reply
    return sent, refused, expired, pending, microseconds / 1000000


def _read_of_all(reply: list[bytes | None]) -> tuple[int, ...]:
    return tuple(int(count or 0) for count in reply)
