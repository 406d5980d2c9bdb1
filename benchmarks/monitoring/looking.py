"""The load of looking at a Redis with many keys: a sweep without pauses, and a monitor."""

from __future__ import annotations

import multiprocessing
import os
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from statistics import median, quantiles
from typing import Any

import redis

from asgi_redis import RedisChannelLayer
from asgi_redis.monitor import Monitor

from ..cluster.figures import Figures, Row
from ..command import say
from ..raw import RawConnection
from ..server import put_first, redis_on

TABLE = "Looking at {keys:,} keys, {channels:,} of them channels"
SLOW_MICROSECONDS = 20  # shorter commands are not of interest
_PING_SECONDS = 0.002
_PATIENCE_SECONDS = 600.0
_BEST = {"longest command", "longest PING of another client"}


def measure(figures: Figures, rounds: Iterable[int], keys: int, channels: int) -> None:
    """Add the figures of a database with so many keys and channels."""
    table = TABLE.format(keys=keys, channels=channels)
    with redis_on(min(os.sched_getaffinity(0))) as server:
        put_first(server.pid)
        connection = RawConnection(server.port)
        layer = RedisChannelLayer(hosts=[server.url], capacity=10)
        fill(connection, layer, keys, channels)
        connection.call("CONFIG", "SET", "slowlog-log-slower-than", SLOW_MICROSECONDS)
        connection.call("CONFIG", "SET", "slowlog-max-len", 100_000)
        calls: dict[str, Callable[[], float | None]] = {
            "nothing": lambda: time.sleep(1.0),
            "sweep": lambda: sweep(layer, channels),
            "monitor": lambda: watch(layer, channels),
        }
        found: dict[tuple[Row, str], list[float]] = {}
        for _ in rounds:
            for column, call in calls.items():
                for (name, unit), value in load(server.port, connection, call).items():
                    found.setdefault((Row(table, name, unit), column), []).append(value)
                say(column)
        for (row, column), values in found.items():
            figures.add(row, column, *([min(values)] if row.name in _BEST else values))
        layer.close()
        connection.close()


def fill(connection: RawConnection, layer: RedisChannelLayer, keys: int, channels: int) -> None:
    """Make the keys: channels with one message each, their counters, and keys of others."""
    now, entry = time.time(), layer.serialize({"text": "x" * 100})
    for start in range(0, channels, 10_000):
        numbers = range(start, min(start + 10_000, channels))
        connection.pipeline(("ZADD", f"asgichannel.{number}", now, entry) for number in numbers)
        connection.pipeline(("HSET", f"asgi-meta:channel.{number}", "messages_count", 1) for number in numbers)
    for start in range(0, keys - 2 * channels, 10_000):
        numbers = range(start, min(start + 10_000, keys - 2 * channels))
        connection.pipeline(("SET", f"others:{number}", "x" * 20) for number in numbers)
    assert connection.call("DBSIZE") == keys


def sweep(layer: RedisChannelLayer, channels: int) -> None:
    """Go through all keys without a pause."""
    found: dict[str, int] = {}
    for step in layer.inspector.sweep():
        found.update(step.queues)
    assert len(found) == channels, len(found)


def watch(layer: RedisChannelLayer, channels: int) -> float:
    """Keep a monitor until it has the whole picture; return the seconds until it had the first."""
    began = time.perf_counter()
    with Monitor(layer) as monitor:
        monitor.wait(lambda _: True, _PATIENCE_SECONDS)
        first = time.perf_counter() - began
        picture = monitor.wait(lambda snapshot: snapshot["complete"], _PATIENCE_SECONDS)
    assert picture["complete"]
    assert not picture["error"]
    assert picture["totals"]["channels"] == channels
    return first


def load(port: int, connection: RawConnection, call: Callable[[], float | None]) -> dict[tuple[str, str], float]:
    """Return the load that a call is for Redis, by names and units; what the call returns is of a monitor."""
    for reset in (("CONFIG", "RESETSTAT"), ("SLOWLOG", "RESET")):
        connection.call(*reset)
    with pings(port) as latencies:
        began, used = time.perf_counter(), connection.cpu_seconds()
        first = call()
        took, used = time.perf_counter() - began, connection.cpu_seconds() - used
    with redis.Redis(port=port, protocol=2) as client:
        statistics: Any = client.info("commandstats")
        entries = [(entry["duration"], entry["command"]) for entry in client.slowlog_get(100_000)]
    slow = sorted(entry for entry in entries if not entry[1].startswith(_OWN_COMMANDS))
    say(f"the longest command: {slow[-1][1][:60]!r}" if slow else "no command was slow")
    ours = {name: one for name, one in statistics.items() if name not in _OF_OTHERS}
    number = sum(one["calls"] for one in ours.values())
    slowest = [SLOW_MICROSECONDS] * (number // 1000 + 1) + [duration for duration, _ in slow]
    milliseconds = [1000 * latency for latency in latencies]
    return {
        **({} if first is None else {("first picture, of what was found so far", "s"): first}),
        ("duration", "s"): took,
        ("commands", "/s"): number / took,
        ("time of these commands", "% of a CPU"): sum(one["usec"] for one in ours.values()) / took / 10_000,
        ("CPU time of Redis, with the PINGs", "% of a CPU"): 100 * used / took,
        ("command, 99.9 %", "ms"): slowest[-1 - number // 1000] / 1000,
        ("longest command", "ms"): slowest[-1] / 1000,
        ("PING of another client, median", "ms"): median(milliseconds),
        ("PING of another client, 99 %", "ms"): quantiles(milliseconds, n=100)[98],
        ("longest PING of another client", "ms"): max(milliseconds),
    }


_OWN_COMMANDS = (b"INFO", b"SLOWLOG", b"CONFIG")
_OF_OTHERS = (
    "cmdstat_ping",
    "cmdstat_config|resetstat",
    "cmdstat_slowlog|reset",
    "cmdstat_config",
    "cmdstat_slowlog",
)


@contextmanager
def pings(port: int) -> Iterator[list[float]]:
    """Send a PING every two milliseconds in a process; the list that is yielded gets the latencies in the end."""
    latencies: list[float] = []
    context = multiprocessing.get_context("fork")
    ended, (reading, writing) = context.Event(), context.Pipe(duplex=False)
    process = context.Process(target=_ping, args=(port, ended, writing))
    process.start()
    try:
        yield latencies
    finally:
        ended.set()
        latencies += reading.recv()
        process.join()


def _ping(port: int, ended: Any, writing: Any) -> None:
    connection, latencies = RawConnection(port), []
    while len(latencies) < 2 or not ended.wait(_PING_SECONDS):
        began = time.perf_counter()
        connection.call("PING")
        latencies.append(time.perf_counter() - began)
    writing.send(latencies)
