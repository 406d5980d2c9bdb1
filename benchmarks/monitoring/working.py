"""The throughput of a worker that is seen in every way, beside one that is not."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
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


def measure(figures: Figures, rounds: int, messages: int) -> None:
    """Add the figures of some rounds with so many messages that do nothing."""
    cpus = sorted(os.sched_getaffinity(0))
    with redis_on(cpus[0]) as server:
        for turn in range(rounds):
            for name, (pool, slots, share) in POOLS.items():
                order = (OFF, ON) if turn % 2 else (ON, OFF)
                rates = {
                    mode: _rate(server.url, server.port, cpus[-1], (mode, pool, slots), share * messages)
                    for mode in order
                }
                for mode in (OFF, ON):
                    figures.add(Row(TABLE, name, "messages per s"), mode, rates[mode])
                figures.add(Row(TABLE, name, "messages per s"), "times", rates[ON] / rates[OFF])
                say(name)


def _rate(url: str, port: int, cpu: int, subject: tuple[str, str, int], messages: int) -> float:
    connection = RawConnection(port)
    connection.flush()
    connection.close()
    with RedisChannelLayer(hosts=[url], capacity=messages) as layer:
        for number in range(messages):
            layer.send(CHANNELS[number % len(CHANNELS)], {"n": number})
    with contextlib.ExitStack() as stack:
        if subject[0] == ON:
            stack.enter_context(_onlookers(url))
        words = [sys.executable, "-m", "benchmarks.monitoring.seen_worker", url, *map(str, subject), str(messages)]
        with tempfile.TemporaryDirectory() as directory:
            heartbeat = Path(directory, "heartbeat")
            command = ["taskset", "-c", str(cpu), *words, str(heartbeat)]
            done = subprocess.run(command, stdout=subprocess.PIPE, text=True, timeout=_PATIENCE_SECONDS, check=True)
    return float(done.stdout)


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
