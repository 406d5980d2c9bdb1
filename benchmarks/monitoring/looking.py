"""The load of looking at a Redis with many keys: a sweep without pauses, and a monitor."""

from __future__ import annotations

import multiprocessing
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from statistics import median, quantiles
from typing import Any

import redis

from asgi_redis import RedisChannelLayer
from asgi_redis.monitor import Monitor

from ..cluster.figures import Figures, Row
from ..command import say
from ..raw import RawConnection
from ..server import redis_on

TABLE = "Looking at {keys:,} keys, {channels:,} of them channels"
SLOW_MICROSECONDS = 20  # shorter commands are not of interest
_PING_SECONDS = 0.002
_PATIENCE_SECONDS = 600.0
_BEST = {"longest command", "longest PING of another client"}


def measure(figures: Figures, rounds: int, keys: int, channels: int) -> None:
    """Add the figures of a database with so many keys and channels."""
    table = TABLE.format(keys=keys, channels=channels)
    with redis_on(min(os.sched_getaffinity(0))) as server:
        hurry(server.pid)
        connection = RawConnection(server.port)
        layer = RedisChannelLayer(hosts=[server.url], capacity=10)
        fill(connection, layer, keys, channels)
        connection.call("CONFIG", "SET", "slowlog-log-slower-than", SLOW_MICROSECONDS)
        connection.call("CONFIG", "SET", "slowlog-max-len", 100_000)
        calls: dict[str, Callable[[], object]] = {
            "nothing": lambda: time.sleep(1.0),
            "sweep": lambda: sweep(layer, channels),
            "monitor": lambda: watch(layer, channels),
        }
        found: dict[tuple[Row, str], list[float]] = {}
        for _ in range(rounds):
            for column, call in calls.items():
                for (name, unit), value in load(server.port, connection, call).items():
                    found.setdefault((Row(table, name, unit), column), []).append(value)
                say(column)
        for (row, column), values in found.items():
            figures.add(row, column, *([min(values)] if row.name in _BEST else values))
        layer.close()
        connection.close()


def hurry(process: int) -> None:
    """Let no other program interrupt a process, if that is allowed: commands would seem longer than they are."""
    try:
        os.sched_setscheduler(process, os.SCHED_FIFO, os.sched_param(1))
    except PermissionError:
        say("no real-time priority for Redis: its commands include the time of other programs on its CPU")


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


def watch(layer: RedisChannelLayer, channels: int) -> None:
    """Keep a monitor until it has the whole picture."""
    with Monitor(layer) as monitor:
        picture = monitor.wait(lambda snapshot: snapshot["complete"], _PATIENCE_SECONDS)
    assert picture["complete"]
    assert not picture["error"]
    assert picture["totals"]["channels"] == channels


def load(port: int, connection: RawConnection, call: Callable[[], object]) -> dict[tuple[str, str], float]:
    """Return the load that a call is for Redis, by names and units."""
    for reset in (("CONFIG", "RESETSTAT"), ("SLOWLOG", "RESET")):
        connection.call(*reset)
    with pings(port) as latencies:
        began, used = time.perf_counter(), connection.cpu_seconds()
        call()
        took, used = time.perf_counter() - began, connection.cpu_seconds() - used
    with redis.Redis(port=port, protocol=2) as client:
        statistics: Any = client.info("commandstats")
        slow = [entry["duration"] for entry in client.slowlog_get(100_000)]
    ours = {name: one for name, one in statistics.items() if name not in _OF_OTHERS}
    milliseconds = [1000 * latency for latency in latencies]
    return {
        ("duration", "s"): took,
        ("commands", "per s"): sum(one["calls"] for one in ours.values()) / took,
        ("time of these commands", "% of a CPU"): sum(one["usec"] for one in ours.values()) / took / 10_000,
        ("CPU time of Redis, with the PINGs", "% of a CPU"): 100 * used / took,
        ("longest command", "ms"): max(slow, default=SLOW_MICROSECONDS) / 1000,
        ("PING of another client, median", "ms"): median(milliseconds),
        ("PING of another client, 99 %", "ms"): quantiles(milliseconds, n=100)[98],
        ("longest PING of another client", "ms"): max(milliseconds),
    }


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
