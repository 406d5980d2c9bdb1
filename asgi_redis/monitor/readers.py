"""The processes of a layer, by the channels that they read."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

from asgi_redis.engine.facts import ProcessEntry
from asgi_redis.wire.names import queue_of


def process_of(channel: str) -> str | None:
    """Return the client prefix in a process-local channel; None for other channels."""
    queue = queue_of(channel)
    return queue[:-1].rpartition(".")[2] if queue.endswith("!") else None


def count_processes(channels: Iterable[str]) -> int:
    """Return how many processes the process-local ones of ``channels`` belong to."""
    return len({process_of(channel) for channel in channels} - {None})


class Readers:
    """The number of live processes that read each channel."""

    def __init__(self, entries: Sequence[ProcessEntry]) -> None:
        self._by_channel = Counter(
            channel for entry in entries for channel in dict.fromkeys(_texts(entry.report.get("channels")))
        )
        self._prefixes = {text for entry in entries for text in _texts([entry.report.get("client_prefix")])}

    def of(self, queue: str) -> int:
        """Return how many processes read a queue."""
        return self._by_channel[queue] + (process_of(queue) in self._prefixes)

    @property
    def channels(self) -> list[str]:
        """The channels that processes say they read."""
        return list(self._by_channel)


def _texts(value: object) -> list[str]:
    """Return the texts of a list in a report, which any program may have written."""
    return [text for text in value if isinstance(text, str)] if isinstance(value, list) else []
