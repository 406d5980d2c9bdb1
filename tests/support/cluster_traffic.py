"""Senders and readers that go on while a cluster is rebuilt, and what became of each message."""

from __future__ import annotations

import threading
import time
from collections import Counter
from typing import Any

from redis.exceptions import RedisError

from asgi_redis import RedisClusterChannelLayer

_ERROR_PAUSE_SECONDS = 0.01


class ClusterTraffic:
    """
    Threads that send numbered messages and others that receive them.

    Each sender has a number, and each of its messages another: ``acknowledged`` are those that a server took,
    ``received`` those that were handed out, with the time, ``errors`` what the calls raised. The end of the block
    receives what is left. ``as_worker``: they are received by the readers of a worker, which leave out what does not
    answer.
    """

    def __init__(
        self,
        layer: RedisClusterChannelLayer,
        senders: int = 2,
        readers: int = 2,
        pause: float = 0.0,
        as_worker: bool = False,
    ) -> None:
        self.acknowledged: dict[tuple[int, int], float] = {}
        self.received: list[tuple[tuple[int, int], float]] = []
        self.errors: list[tuple[float, Exception]] = []
        self._layer, self._pause = layer, pause
        self._has_ended = threading.Event()
        self._is_drained = threading.Event()
        self._senders = [threading.Thread(target=self._send, args=(number,)) for number in range(senders)]
        first = layer.reader()
        self._sources = [first, *(first.sibling() for _ in range(readers - 1))] if as_worker else [layer] * readers
        self._readers = [threading.Thread(target=self._receive, args=(source,)) for source in self._sources]

    def __enter__(self) -> ClusterTraffic:
        for thread in [*self._senders, *self._readers]:
            thread.start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._has_ended.set()
        for thread in self._senders:
            thread.join()
        self._is_drained.set()
        for thread in self._readers:
            thread.join()
        for source in set(self._sources) - {self._layer}:
            source.close()
        while self._take(self._layer, 0):
            pass

    def _send(self, sender: int) -> None:
        number = 0
        while not self._has_ended.is_set():
            number += 1
            try:
                self._layer.send("work", {"from": sender, "number": number})
            except RedisError as error:
                self.errors.append((time.monotonic(), error))
                time.sleep(_ERROR_PAUSE_SECONDS)
                continue
            self.acknowledged[sender, number] = time.monotonic()
            self._has_ended.wait(self._pause)

    def _receive(self, source: Any) -> None:
        while not self._is_drained.is_set():
            try:
                self._take(source, 0.5)
            except RedisError as error:
                self.errors.append((time.monotonic(), error))
                time.sleep(_ERROR_PAUSE_SECONDS)

    def _take(self, source: Any, timeout: float) -> int:
        batch = source.receive_batch(["work", "idle"], 10, timeout)
        now = time.monotonic()
        self.received += [((message["from"], message["number"]), now) for _, message in batch]
        return len(batch)

    def lost(self) -> set[tuple[int, int]]:
        """Returns the acknowledged messages that were not received."""
        return self.acknowledged.keys() - {message for message, _ in self.received}

    def doubled(self) -> dict[tuple[int, int], list[float]]:
        """Returns the messages that were handed out more than once, with the times."""
        counts = Counter(message for message, _ in self.received)
        return {
            message: [at for one, at in self.received if one == message]
            for message, count in counts.items()
            if count > 1
        }
