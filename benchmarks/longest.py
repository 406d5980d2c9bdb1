"""
``python -m benchmarks.longest``: how long single commands of a layer block a Redis.

For each call it prints a line with the longest command in Redis's SLOWLOG, and the duration of the call. The server
is pinned to one CPU. Other programs there make commands longer, so of each group send the best of three rounds
counts. ``--scale 0.01`` divides large numbers by a hundred. ``--save`` writes ``benchmarks/results/longest.json``.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

import redis

from asgi_redis import RedisChannelLayer
from benchmarks.command import add_save
from benchmarks.record import Conditions, Line, Measured, described, save
from benchmarks.server import redis_on

KINDS: dict[str, dict[str, Any]] = {
    "plain": {},
    "encrypted": {"symmetric_encryption_keys": ["key"]},
    "JSON": {"serializer_format": "json"},
}
SIZES = (100, 1_000, 10_000, 100_000, 1_000_000, 5_500_000, 8_000_000)
MEMBERS = (1, 100, 1_000, 10_000)
SLOW_MICROSECONDS = 100  # shorter commands are not of interest
MAX_BYTES = 200_000_000  # of a group send, in Redis
Call = tuple[str, Callable[[], object]]


class Subject:
    """A layer, and a client that fills its keys."""

    def __init__(self, url: str, client: redis.Redis, scale: float, **settings: Any) -> None:
        self.url = url
        self.layer = RedisChannelLayer(hosts=[url], capacity=10_000_000, **settings)
        self.client = client
        self.scale = scale

    def many(self, number: int) -> int:
        """Return a number of things, in the scale."""
        return max(1, int(number * self.scale))

    def fill(self, key: str, names: Iterator[Any], score: float) -> None:
        """Put members with the same score into a sorted set."""
        batch: dict[Any, float] = {}
        for name in names:
            batch[name] = score
            if len(batch) == 1000:
                self.client.zadd(key, batch)
                batch = {}
        if batch:
            self.client.zadd(key, batch)
        self.client.expire(key, 3600)

    def group_sends(self) -> Iterator[Call]:
        """Yield every size to every number of members, as far as it fits into memory."""
        grows = len(self.layer.serialize({"data": "x" * 9_999})) / 10_000  # where it is encrypted
        largest = int(self.layer.max_message_bytes / grows)
        for members in dict.fromkeys(map(self.many, MEMBERS)):
            self.fill(f"asgi:group:own{members}", (f"p{n}!x" for n in range(members)), time.time())
            for size in filter(largest.__ge__, SIZES):
                if size * members <= MAX_BYTES * self.scale:
                    message = {"data": "x" * size}
                    yield f"group send, {size:,} B to {members:,} processes", self._send(f"own{members}", message)

    def _send(self, group: str, message: dict[str, Any]) -> Callable[[], object]:
        return lambda: self.layer.send_group(group, message)

    def everything_else(self) -> Iterator[Call]:
        """Yield calls with large messages, large groups, and expired messages."""
        layer, client = self.layer, self.client
        for size in (1_000_000, 8_000_000):
            message = {"data": "x" * size}
            yield f"send, {size:,} B", lambda message=message: layer.send("work", message)  # type: ignore[misc]
            yield f"receive, {size:,} B", lambda: layer.receive(["work"])
        for size in (100, 10_000, 1_000_000):
            number = min(5_000, 50_000_000 // size)
            for _ in range(number):
                layer.send("work", {"data": "x" * size})
            yield f"receive_batch, {number:,} of {size:,} B", lambda: layer.receive_batch(["work"], 10_000)
            client.delete("asgiwork")
        members = self.many(200_000)
        self.fill("asgi:group:one", (f"specific.{'0' * 32}!{n:032}" for n in range(members)), time.time())
        yield f"group send, {members:,} members of one process", self._send("one", {"x": 1})
        self.fill("asgi:group:expired", (f"p!{n}" for n in range(self.many(1_000_000))), 1.0)
        yield f"group send, {self.many(1_000_000):,} expired members", self._send("expired", {"x": 1})
        full = RedisChannelLayer(hosts=[self.url], capacity=1)
        calls = {"receive": lambda: layer.receive(["old"]), "send": lambda: _send_to_full(full, "old")}
        for name, call in calls.items():
            self.fill("asgiold", (b"%012d" % n + b"x" * 100 for n in range(self.many(1_000_000))), 1.0)
            layer.send("old", {})
            yield f"{name}, {self.many(1_000_000):,} expired messages before one that is not", call
        pipeline = client.pipeline(transaction=False)
        for n in range(self.many(1_000_000)):
            pipeline.zadd(f"asgikey{n}", {"x" * 20: 1.0})
            if n % 10_000 == 9_999:
                pipeline.execute()
        pipeline.execute()
        yield f"flush, {self.many(1_000_000):,} keys", layer.flush


def _send_to_full(layer: RedisChannelLayer, channel: str) -> None:
    with contextlib.suppress(layer.ChannelFull):
        layer.send(channel, {})


def measure(client: redis.Redis, name: str, call: Callable[[], object]) -> tuple[str, float, float]:
    """Return the name, the longest command's milliseconds, and the call's seconds."""
    client.slowlog_reset()
    began = time.perf_counter()
    call()
    took = time.perf_counter() - began
    return name, max((entry["duration"] for entry in client.slowlog_get(100_000)), default=0) / 1000, took


def main(arguments: list[str] | None = None) -> int:
    """Print the table."""
    options = _parser().parse_args(arguments)
    if options.save and options.scale != 1:
        raise SystemExit("--save and --scale exclude each other: a results file has the numbers that its rows say")
    conditions = Conditions("benchmarks.longest", sys.argv[1:] if arguments is None else arguments)
    print(f"{'longest command':>16} {'whole call':>11}")
    lines = []
    for name, milliseconds, seconds in _measured(options.scale, options.rounds):
        print(f"{milliseconds:13.1f} ms {seconds:9.3f} s  {name}", flush=True)
        lines.append(Line(name, "", [milliseconds or None, seconds]))
    how = f"The best of {options.rounds} rounds of each group send, one of the rest; Redis on one CPU"
    ended = conditions.end(f"{how}; no figure for a longest command under {SLOW_MICROSECONDS / 1000:g} ms")
    print("", *described(ended), sep="\n")
    if options.save:
        heads = ["longest command, ms", "whole call, s"]
        save(options.save, "longest", ended, {"calls": Measured("The longest command of a call", heads, lines)})
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("python -m benchmarks.longest", description=(__doc__ or "").splitlines()[1])
    parser.add_argument("--scale", type=float, default=1.0)
    parser.add_argument("--rounds", type=int, default=3, help="of each group send, of which the best counts")
    add_save(parser)
    return parser


def _measured(scale: float, rounds: int) -> Iterator[tuple[str, float, float]]:
    with redis_on(min(os.sched_getaffinity(0))) as server, redis.Redis(port=server.port, protocol=2) as client:
        client.config_set("slowlog-log-slower-than", SLOW_MICROSECONDS)
        client.config_set("slowlog-max-len", 100_000)
        for kind, settings in KINDS.items():
            client.flushall()
            subject = Subject(server.url, client, scale, **settings)
            subject.layer.send("warm.up", {})
            for name, call in subject.group_sends():
                outcomes = []
                for _ in range(rounds):
                    outcomes.append(measure(client, f"{name}, {kind}", call))
                    client.delete(*client.keys("asgip*"))
                yield min(outcomes, key=lambda one: one[1])
        client.flushall()
        for name, call in Subject(server.url, client, scale).everything_else():
            yield measure(client, name, call)


if __name__ == "__main__":
    raise SystemExit(main())
