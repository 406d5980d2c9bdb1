"""Fresh servers, a layer on them, and the measurement of a call: its CPU time, its slowest command, its memory."""

from __future__ import annotations

import ctypes
import gc
import os
import re
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from asgi_redis import RedisChannelLayer

from ..meter import own_cpu_seconds
from ..raw import RawConnection
from ..server import put_first, redis_on

MESSAGE = {"data": "x" * 90}
SETTINGS: dict[str, Any] = {"capacity": 1_000_000_000, "expiry": 3600}
SLOW_MICROSECONDS = 50  # the slowest command is not of interest where it is faster
_OWN_COMMANDS = (b"INFO", b"CONFIG", b"SLOWLOG")
_MIN_ROUNDS = 3
_LONGEST_SECONDS = 6.0  # that the rounds of one figure take together
_POLL_SECONDS = 0.01  # Redis looks at each of its clients then
_FILL = """
for i = 0, tonumber(ARGV[1]) - 1 do
    redis.call('ZADD', KEYS[1], ARGV[2], string.format(ARGV[3], i) .. ARGV[4])
end
"""


class Bench:
    """The servers, a layer on them, and the figure that is measured."""

    def __init__(self, ports: list[int], urls: list[str], seconds: float) -> None:
        self.ports = ports
        self.urls = urls
        self.redis = [RawConnection(port) for port in ports]
        for redis in self.redis:
            redis.call("CONFIG", "SET", "slowlog-log-slower-than", SLOW_MICROSECONDS)
            redis.call("CONFIG", "SET", "slowlog-max-len", 100_000)
        self.layer = RedisChannelLayer(hosts=urls, **SETTINGS)
        self.figure: dict[str, Any] = {}
        self._seconds = seconds
        self._redis_before = self._redis_memory("used_memory")
        self.start_memory()

    def start_memory(self) -> None:
        """Leave what this process has used so far out of its memory."""
        gc.collect()
        ctypes.CDLL(None).malloc_trim(0)  # what is free belongs to the system, and counts when it is used
        Path("/proc/self/clear_refs").write_text("5")  # the peak is what it is now
        self._client_before = _own_memory("VmHWM")

    def measure(self, call: Callable[[], object], work: int, prepare: Callable[[], object] = int) -> None:
        """Set the figure: the best of some rounds of ``call``, which do so much ``work`` each."""
        rounds: list[float] = []
        slowest: list[float] = []
        began = time.perf_counter()
        while True:
            prepare()
            for redis in self.redis:
                redis.call("SLOWLOG", "RESET")
            used = self._cpu_seconds()
            call()
            rounds.append(self._cpu_seconds() - used)
            slowest.append(max(map(_slowest, self.redis)))
            passed = time.perf_counter() - began
            if (len(rounds) >= _MIN_ROUNDS and passed > self._seconds) or passed > _LONGEST_SECONDS:
                break
        self.figure = {
            "work": work,
            "seconds": min(rounds),
            "slowest": min(slowest),
            "redis": self._redis_memory("used_memory_peak") - self._redis_before,
            "client": max(0, _own_memory("VmHWM") - self._client_before),
            "rounds": rounds,
        }

    def repeat(
        self, call: Callable[[], object], times: int, work: int = 1, prepare: Callable[[], object] = int
    ) -> None:
        """Measure rounds of several calls, which do so much ``work`` each."""

        def calls() -> None:
            for _ in range(times):
                call()

        self.measure(calls, times * work, prepare)

    def fill(self, key: str, number: int, form: str, tail: bytes = b"", score: float = 0.0) -> None:
        """Put ``form`` % 0, 1 and so on, each with a ``tail``, into a sorted set, by default as of now."""
        self.redis[0].call("EVAL", _FILL, 1, key, number, score or time.time(), form, tail)

    def fill_queue(self, channel: str, number: int) -> None:
        """Put messages into a channel."""
        self.fill(f"asgi{channel}", number, "%012d", self.layer.serialize(MESSAGE)[12:])

    def waits(self) -> int:
        """Return how many blocking pops the servers have."""
        return sum(_info(redis, "clients", "blocked_clients") for redis in self.redis)

    def await_waits(self, number: int) -> None:
        """Return once the servers have so many blocking pops."""
        while self.waits() < number:
            time.sleep(_POLL_SECONDS)

    def _cpu_seconds(self) -> float:
        return own_cpu_seconds() + sum(redis.cpu_seconds() for redis in self.redis)

    def _redis_memory(self, name: str) -> int:
        return sum(_info(redis, "memory", name) for redis in self.redis)


@contextmanager
def bench_on(servers: int, seconds: float) -> Iterator[Bench]:
    """Start servers on the CPU of this process, before whose work theirs comes."""
    cpu = max(os.sched_getaffinity(0))
    os.sched_setaffinity(0, {cpu})
    with ExitStack() as stack:
        started = [stack.enter_context(redis_on(cpu)) for _ in range(servers)]
        for server in started:
            put_first(server.pid)
        yield Bench([server.port for server in started], [server.url for server in started], seconds)


def _slowest(redis: RawConnection) -> float:
    """Return the milliseconds of the slowest command."""
    entries = redis.call("SLOWLOG", "GET", 100_000)
    # A pop that has waited is there without its name.
    others = (entry for entry in entries if not entry[3] or entry[3][0].upper() not in _OWN_COMMANDS)
    return max((entry[2] for entry in others), default=0) / 1000


def _info(redis: RawConnection, section: str, name: str) -> int:
    found = re.search(rf"^{name}:(\d+)\r$", redis.call("INFO", section).decode(), re.MULTILINE)
    assert found, name
    return int(found[1])


def _own_memory(name: str) -> int:
    found = re.search(rf"^{name}:\s+(\d+) kB$", Path("/proc/self/status").read_text(), re.MULTILINE)
    assert found, name
    return 1024 * int(found[1])
