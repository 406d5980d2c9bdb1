"""The throughput of a worker that is seen in every way, beside one that is not."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

from asgi_redis import RedisChannelLayer

from ..cluster.figures import Figures, Row
from ..command import say
from ..raw import RawConnection
from ..server import redis_on

TABLE = "A worker with registry, metrics, heartbeat and a monitor, and one without"
CHANNELS = ("one", "two", "three", "four")
OFF, ON = "off", "on"
POOLS = {"1 thread": ("thread", 1, 1), "8 threads": ("thread", 8, 3), "100 greenlets": ("gevent", 100, 5)}
_PATIENCE_SECONDS = 120.0
_FILL = """
for i = 1, tonumber(ARGV[1]) do
    redis.call('ZADD', KEYS[1], ARGV[2], string.format('%012d', i) .. ARGV[3])
end
"""


def measure(figures: Figures, rounds: Iterable[int], messages: int) -> None:
    """Add the figures of some rounds with so many messages that do nothing."""
    cpus = sorted(os.sched_getaffinity(0))
    with redis_on(cpus[0]) as server:
        for turn in rounds:
            for name, (pool, slots, share) in POOLS.items():
                order = (OFF, ON) if turn % 2 else (ON, OFF)
                found = {
                    mode: _run(server.url, server.port, cpus[-1], (mode, pool, slots), share * messages)
                    for mode in order
                }
                for mode in (OFF, ON):
                    rate, cpu = found[mode]
                    figures.add(Row(TABLE, name, "messages/s"), mode, rate)
                    figures.add(Row(TABLE, f"{name}, CPU time of the worker for a message", "µs"), mode, cpu)
                say(name)


def _run(url: str, port: int, cpu: int, subject: tuple[str, str, int], messages: int) -> tuple[float, float]:
    """Return the messages a second of a worker, and the microseconds of its CPU time for each."""
    _fill(url, port, messages)
    with contextlib.ExitStack() as stack:
        if subject[0] == ON:
            stack.enter_context(_onlookers(url))
        words = [sys.executable, "-m", "benchmarks.monitoring.seen_worker", url, *map(str, subject), str(messages)]
        with tempfile.TemporaryDirectory() as directory:
            heartbeat = Path(directory, "heartbeat")
            command = ["taskset", "-c", str(cpu), *words, str(heartbeat)]
            done = subprocess.run(command, stdout=subprocess.PIPE, text=True, timeout=_PATIENCE_SECONDS, check=True)
    rate, microseconds = map(float, done.stdout.split())
    return rate, microseconds


def _fill(url: str, port: int, messages: int) -> None:
    """Empty Redis, and put the messages into the channels, with their counters."""
    with RedisChannelLayer(hosts=[url]) as layer:
        entry = layer.serialize({"text": "x" * 100})
    connection, number = RawConnection(port), messages // len(CHANNELS)
    connection.flush()
    for channel in CHANNELS:
        connection.call("EVAL", _FILL, 1, f"asgi{channel}", number, time.time(), entry[12:])
        connection.call("HSET", f"asgi-meta:{channel}", "messages_count", number)
    connection.close()


@contextlib.contextmanager
def _onlookers(url: str) -> Iterator[None]:
    """Run a monitor in another process, which looks every two seconds."""
    code = f"""
import time
from asgi_redis import RedisChannelLayer
from asgi_redis.monitor import Monitor
with Monitor(RedisChannelLayer(hosts=[{url!r}])) as monitor:
    monitor.wait(lambda picture: True, {_PATIENCE_SECONDS})
    print("ready", flush=True)
    time.sleep({_PATIENCE_SECONDS})
"""
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE)
    assert process.stdout is not None
    try:
        process.stdout.readline()  # its start is no part of what it costs
        yield
    finally:
        process.kill()
        process.wait()
        process.stdout.close()
