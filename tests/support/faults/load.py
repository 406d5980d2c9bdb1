"""What the tests under load share: a sender that goes on through faults, and what the log of a worker tells."""

from __future__ import annotations

import re
import threading

import pytest
from redis.exceptions import RedisError

SLOTS = 8

both_pools = pytest.mark.parametrize("pool", ["thread", "gevent"], indirect=True)
"""For the tests that the suite has with both; others it has with threads, and the soak with gevent, too."""


def left_in(layer, channel="work"):
    return [content["n"] for _, content in layer.receive_batch([channel], 100_000)]


def outages(worker):
    """Returns how many began, and how many ended, by the log."""
    return worker.log.count("does not serve messages"), worker.log.count("serves messages again after")


def lengths(worker):
    """Returns the seconds of each outage, by the log."""
    return [float(seconds) for seconds in re.findall(r"serves messages again after (\d+\.\d) s$", worker.log, re.M)]


def tells_of_outages_only(worker, server, times):
    """Whether the log complains of nothing but so many outages of ``server``, in two lines each."""
    place = re.escape(f"{server.host}:{server.port}")
    expected = [
        rf" WARNING \d+ .* asgi_redis: .*{place}.* does not serve messages \(\w+: .*\); trying again$",
        rf" WARNING \d+ .* asgi_redis: .*{place}.* serves messages again after \d+\.\d s$",
    ] * times
    complaints = [line for line in worker.log.splitlines() if not re.search(r" (INFO|DEBUG) \d+ ", line)]
    return len(complaints) == len(expected) and all(map(re.search, expected, complaints))


class Sending:
    """A thread that sends numbered messages all the time; ``acknowledged`` are those that Redis took."""

    def __init__(self, layer, pause=0.002, **content):
        self.acknowledged: list[int] = []
        self.attempted = 0
        self._layer, self._pause, self._content = layer, pause, content
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def __enter__(self):
        return self

    def __exit__(self, *exc_info):
        self._stopped.set()
        self._thread.join()

    def _run(self):
        while not self._stopped.wait(self._pause):
            n, self.attempted = self.attempted, self.attempted + 1
            try:
                self._layer.send("work", {"n": n, **self._content})
            except (RedisError, self._layer.ChannelFull):
                continue
            self.acknowledged.append(n)
