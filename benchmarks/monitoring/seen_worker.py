"""
A worker process that prints how many messages a second it has run, and the CPU time of each in microseconds.

``python -m benchmarks.monitoring.seen_worker URL on|off thread|gevent SLOTS MESSAGES HEARTBEAT``. With ``on`` it has
all that lets it be seen: the registry, a heartbeat, and metrics, which it reads every ten seconds.
"""

from __future__ import annotations

import sys

if "gevent" in sys.argv:
    from gevent import monkey

    monkey.patch_all()

import os
import socket
import threading
import time
from urllib.request import urlopen

from asgi_redis import RedisChannelLayer
from workers import Message, Worker, route
from workers.operations.heartbeat import Heartbeat
from workers.operations.metrics import MetricsServer
from workers.operations.registration import Registration
from workers.runtime.hooks import LifecycleHook
from workers.runtime.pool import Pool

from .working import CHANNELS, ON

WARM_UP = 0.1  # of the messages, which are not timed


class Scraper(LifecycleHook):
    """Reads the metrics every ten seconds."""

    def __init__(self, address: tuple[str, int]) -> None:
        self._url = f"http://127.0.0.1:{address[1]}/metrics"

    def start(self, worker: object) -> None:
        """Begin to read."""
        threading.Thread(target=self._run, daemon=True).start()

    def _run(self) -> None:
        while True:
            with urlopen(self._url) as answer:
                answer.read()
            time.sleep(10.0)


class Count:
    """Counts messages, and stops the worker after the last."""

    def __init__(self, messages: int) -> None:
        self.worker: Worker | None = None
        self.done = 0
        self._begun = self._ended = (0.0, 0.0)  # wall and CPU time
        self._first, self._last = int(messages * WARM_UP), messages
        self._lock = threading.Lock()

    def __call__(self, message: Message) -> None:
        """Run one message."""
        with self._lock:
            self.done += 1
            if self.done == self._first:
                self._begun = time.perf_counter(), time.process_time()
            elif self.done == self._last:
                self._ended = time.perf_counter(), time.process_time()
                assert self.worker is not None
                self.worker.quiet()

    @property
    def rate(self) -> float:
        """The messages a second between the warm-up and the end."""
        return (self._last - self._first) / (self._ended[0] - self._begun[0])

    @property
    def cpu_microseconds(self) -> float:
        """The CPU time of this process for a message."""
        return 1e6 * (self._ended[1] - self._begun[1]) / (self._last - self._first)


def main() -> None:
    """Run the worker, and leave without waiting for threads."""
    url, mode, pool, slots, messages, heartbeat = sys.argv[1:]
    count = Count(int(messages))
    hooks: list[LifecycleHook] = []
    if mode == ON:
        with socket.create_server(("127.0.0.1", 0)) as free:
            address = free.getsockname()
        hooks = [Registration(pool), Heartbeat(heartbeat), MetricsServer(address), Scraper(address)]
    layer = RedisChannelLayer(hosts=[url])
    routing = [route(channel, count) for channel in CHANNELS]
    count.worker = Worker(layer, routing, pool=Pool(int(slots)), hooks=hooks)
    assert count.worker.run() == 0
    print(count.rate, count.cpu_microseconds, flush=True)
    os._exit(0)


if __name__ == "__main__":
    main()
