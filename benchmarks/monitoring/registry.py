"""The cost of the registry for Redis: so many workers, each of which reports every two seconds."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable

from asgi_redis import RedisChannelLayer
from asgi_redis.engine.reporter import REPORT_SECONDS

from ..cluster.figures import Figures, Row
from ..command import say
from ..raw import RawConnection
from ..server import redis_on

TABLE = "The registry, by its number of workers"
WORKERS = (0, 1, 100, 1000)
_CHANNELS, _RUNNING = 20, 8  # of each worker


def measure(figures: Figures, rounds: Iterable[int], seconds: float) -> None:
    """Add the figures of some rounds for each number of workers."""
    with redis_on(min(os.sched_getaffinity(0))) as server, RedisChannelLayer(hosts=[server.url]) as layer:
        connection = RawConnection(server.port)
        for _ in rounds:
            for workers in WORKERS:
                for (name, unit), value in _costs(layer, connection, workers, seconds).items():
                    figures.add(Row(TABLE, name, unit), f"{workers:,}", value)
                say(f"{workers} workers")
        connection.close()


def _costs(
    layer: RedisChannelLayer, connection: RawConnection, workers: int, seconds: float
) -> dict[tuple[str, str], float]:
    connection.flush()
    names = [f"host.{number}.abcdef01" for number in range(workers)]
    for name in names:
        layer.registry.report(name, _report())
    connection.call("CONFIG", "RESETSTAT")
    redis, own, count, began = connection.cpu_seconds(), 0.0, 0, time.perf_counter()
    while (passed := time.perf_counter() - began) < seconds:
        if count < passed * workers / REPORT_SECONDS:
            own -= time.thread_time()
            layer.registry.report(names[count % workers], _report())
            own += time.thread_time()
            count += 1
        else:
            time.sleep(0.001)
    redis = connection.cpu_seconds() - redis
    commands = _calls(connection)
    listing = time.perf_counter()
    assert len(layer.registry.processes()) == workers
    listing = time.perf_counter() - listing
    costs = {("scripts", "/s"): commands / passed, ("CPU time of Redis", "% of a CPU"): 100 * redis / passed}
    if count:
        costs["CPU time of a worker for a report", "µs"] = 1e6 * own / count
        costs["reading all entries", "ms"] = 1000 * listing
    return costs


def _report() -> dict[str, object]:
    """Return a report like that of a busy worker."""
    consumer = {"channel": "websocket.receive", "consumer": "mysite.chat.consumers.ws_message", "seconds": 0.125}
    return {
        "role": "worker",
        "host": "host-with-a-name",
        "pid": 12345,
        "started": time.time(),
        "version": "2.0.0",
        "pool": "thread",
        "client_prefix": "0123456789abcdef0123456789abcdef",
        "slots": 8,
        "channels": [f"channel-of-the-site-{number}" for number in range(_CHANNELS)],
        "limits": {},
        "busy": _RUNNING,
        "done": 1_000_000,
        "failed": 17,
        "retried": 3,
        "popping": True,
        "pulled": 0.001,
        "stopping": False,
        "running": [consumer] * _RUNNING,
    }


def _calls(connection: RawConnection) -> int:
    statistics = connection.call("INFO", "commandstats").decode().splitlines()
    scripts = [line for line in statistics if line.startswith("cmdstat_eval")]
    return sum(int(line.partition("calls=")[2].partition(",")[0]) for line in scripts)
