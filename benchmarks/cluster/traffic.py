"""Numbered messages through a layer, while something happens to its servers: pauses, and what is lost or doubled."""

from __future__ import annotations

import itertools
import threading
import time
from collections import Counter
from typing import Any

from redis.exceptions import RedisError

from asgi_redis import ChannelFull

from .client import queue_of

AFTER_ERROR_SECONDS = 0.005
WHEN_FULL_SECONDS = 0.001
IN_FLIGHT_SECONDS = 0.05  # replies that were on their way when a server died have come by then
LAST_WAIT_SECONDS = 1.0  # without a message, after the last was sent: then the rest is lost
BATCH = 100


class Stream:
    """A thread that sends to a channel as fast as it can, and one that receives from it."""

    def __init__(self, layer: Any, channel: str) -> None:
        self.acknowledged: list[tuple[float, int]] = []
        self.received: list[tuple[float, int]] = []
        self.errors: Counter[str] = Counter()
        self._layer, self._channel = layer, channel
        self._stopped, self._sent = threading.Event(), threading.Event()
        self._threads = [threading.Thread(target=run, daemon=True) for run in (self._send, self._receive)]
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Have the sender end."""
        self._stopped.set()

    def join(self) -> None:
        """Wait until the sender has ended, and the receiver has all that there is."""
        for thread in self._threads:
            thread.join()

    def _send(self) -> None:
        for number in itertools.count():
            if self._stopped.is_set():
                break
            try:
                self._layer.send(self._channel, {"n": number})
            except RedisError as error:
                self.errors[type(error).__name__] += 1
                time.sleep(AFTER_ERROR_SECONDS)
            except ChannelFull:
                time.sleep(WHEN_FULL_SECONDS)
            else:
                self.acknowledged.append((time.monotonic(), number))
        self._sent.set()

    def _receive(self) -> None:
        while True:
            is_last = self._sent.is_set()  # before it looks
            try:
                batch = self._layer.receive_batch([queue_of(self._channel)], BATCH, LAST_WAIT_SECONDS)
            except RedisError as error:
                self.errors[type(error).__name__] += 1
                time.sleep(AFTER_ERROR_SECONDS)
                continue
            now = time.monotonic()
            self.received += [(now, message["n"]) for _, message in batch]
            if not batch and is_last:
                return

    # What became of them

    def first_sent(self, since: float) -> float:
        """Return the seconds from a moment, when a server died, to the first message that was acknowledged."""
        return _first(self.acknowledged, since)

    def first_received(self, since: float) -> float:
        """Return the seconds from that moment to the first message that was received."""
        return _first(self.received, since)

    def sender_pause(self, since: float, until: float) -> float:
        """Return the longest time between two acknowledged messages."""
        return _longest([at for at, _ in self.acknowledged if since <= at <= until], since, until)

    def receiver_pause(self, since: float, until: float) -> float:
        """Return the longest time between two messages that were received."""
        return _longest([at for at, _ in self.received if since <= at <= until], since, until)

    @property
    def lost(self) -> int:
        """The number of messages that were acknowledged and never received."""
        return len({number for _, number in self.acknowledged} - {number for _, number in self.received})

    @property
    def doubled(self) -> int:
        """The number of times that a message was received again."""
        return len(self.received) - len({number for _, number in self.received})


def _first(events: list[tuple[float, int]], since: float) -> float:
    return min(at for at, _ in events if at > since + IN_FLIGHT_SECONDS) - since


def _longest(times: list[float], since: float, until: float) -> float:
    times = [since, *times, until]
    return max(after - before for before, after in zip(times, times[1:]))


def stop_all(streams: list[Stream]) -> None:
    """Stop all, then wait for all."""
    for stream in streams:
        stream.stop()
    for stream in streams:
        stream.join()


def count(streams: list[Stream]) -> Counter[str]:
    """Return the numbers of messages, and of errors that callers got."""
    counts = Counter(
        acknowledged=sum(len(one.acknowledged) for one in streams),
        lost=sum(one.lost for one in streams),
        doubled=sum(one.doubled for one in streams),
    )
    for stream in streams:
        counts.update({f"calls that raised {error}": number for error, number in stream.errors.items()})
    return counts
