"""
One process that loads a layer: ``python -m benchmarks.cluster.client ORDER``, an order in JSON.

It prepares itself, writes ``ready``, waits for a line, works for the ordered time, and writes what it did as JSON.
All processes of a machine have the same monotonic clock, so messages bring the time of their sending.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import re
import sys
import time
from collections.abc import Iterator
from typing import Any

import asgi_redis
from asgi_redis import aio

MESSAGE = {"data": b"x" * 90}  # 100 bytes, packed
WARM_UP_ROUNDS = 5  # or as many as there are shards, which takes a send to each
BACKLOG = 20  # messages of each process on each shard, so that a receive finds one at the first shard that it asks
BATCH = 100
MEMBERS = 32  # of a group: process-local channels, each with a queue for itself
TASKS = 64  # coroutines of the asynchronous layer
LARGE = 100_000_000
EXPIRY_SECONDS = 3600
WAIT_SECONDS = 5.0  # of each receive, as a worker does
LOST_SECONDS = 60.0


def layer_of(settings: dict[str, Any], package: Any = asgi_redis) -> Any:
    """Return a layer over one Redis, or with ``shards`` over a cluster, where no channel ever gets full."""
    settings = {"capacity": LARGE, "expiry": EXPIRY_SECONDS, **settings}
    settings["hosts"] = [tuple(host) if isinstance(host, list) else host for host in settings["hosts"]]
    kind = package.RedisClusterChannelLayer if "shards" in settings else package.RedisChannelLayer
    return kind(**settings)


def queue_of(channel: str) -> str:
    """Return the name to receive a channel's messages by."""
    return re.sub(r"(?<=!).*", "", channel)


def one_by_one(layer: Any, channel: str, backlog: int = 0) -> Iterator[int]:
    """Send a message and receive one, again and again; yield the number."""
    for _ in range(backlog):
        layer.send(channel, MESSAGE)
    queues = [queue_of(channel)]
    while True:
        layer.send(channel, MESSAGE)
        while layer.receive(queues)[1] is None:
            pass
        yield 1


def batches(layer: Any, channel: str, backlog: int) -> Iterator[int]:
    """Send a hundred messages one by one, and receive as many at once."""
    for _ in range(backlog):
        layer.send(channel, MESSAGE)
    while True:
        for _ in range(BATCH):
            layer.send(channel, MESSAGE)
        yield from _drained(layer, [channel], BATCH)


def group(layer: Any, name: str) -> Iterator[int]:
    """Send to a group, and receive at all its members, so many messages as there are members."""
    members = [f"{name}.{n}!member" for n in range(MEMBERS)]
    for member in members:
        layer.group_add(name, member)
    queues = [*map(queue_of, members)]
    while True:
        layer.send_group(name, MESSAGE)
        yield from _drained(layer, queues, MEMBERS)


def _drained(layer: Any, channels: list[str], number: int) -> Iterator[int]:
    while number > 0:
        received = len(layer.receive_batch(channels, number))
        number -= received
        yield received


def tasks(settings: dict[str, Any]) -> Iterator[int]:
    """Send to and receive from a process-local channel in each of many coroutines at the same time."""
    loop = asyncio.new_event_loop()
    layer = layer_of(settings, aio)
    channels = [loop.run_until_complete(layer.new_channel()) for _ in range(TASKS)]

    async def one_each() -> None:
        await asyncio.gather(*(layer.send(channel, MESSAGE) for channel in channels))
        await asyncio.gather(*map(layer.receive, channels))

    while True:
        loop.run_until_complete(one_each())
        yield TASKS


def sends(layer: Any, channel: str) -> Iterator[int]:
    """Send only."""
    while True:
        layer.send(channel, MESSAGE)
        yield 1


def looks(layer: Any, channel: str) -> Iterator[int]:
    """Receive from an empty channel, without waiting."""
    while True:
        layer.receive([channel])
        yield 1


def rounds_of(load: str, layer: Any, number: int, settings: dict[str, Any]) -> Iterator[int]:
    """Return an endless iterator, whose items are messages that were sent and received."""
    backlog = BACKLOG * layer.ring_size
    loads: dict[str, Any] = {
        "normal": lambda: one_by_one(layer, "bench.normal", backlog),
        "batches": lambda: batches(layer, "bench.batches", backlog),
        "local": lambda: one_by_one(layer, f"bench.{number}!own"),
        "group": lambda: group(layer, f"bench.room{number}"),
        "tasks": lambda: tasks(settings),
        "sends": lambda: sends(layer, "bench.sends"),
        "looks": lambda: looks(layer, "bench.empty"),
    }
    rounds: Iterator[int] = loads[load]()
    return rounds


def timed(rounds: Iterator[int], seconds: float) -> dict[str, float]:
    """Go through rounds for so long; return the messages, and wall and CPU seconds."""
    clock = time.perf_counter
    cpu, began, messages = time.process_time(), clock(), 0
    while clock() - began < seconds:
        messages += next(rounds)
    return {"messages": messages, "seconds": clock() - began, "cpu": time.process_time() - cpu}


def wait(layer: Any, channel: str) -> dict[str, Any]:
    """Wait for messages until one says that it is the last; return how long each was on its way."""
    taken, deadline = [], time.monotonic() + LOST_SECONDS
    while time.monotonic() < deadline:
        for _, message in layer.receive_batch([channel], 1, WAIT_SECONDS):
            now = time.monotonic()
            if message.get("last"):
                return {"taken": taken}
            taken.append(now - message["at"])
            deadline = now + LOST_SECONDS
    return {"error": "no message for too long"}


def main() -> None:
    """Carry out the order."""
    order = json.loads(sys.argv[1])
    with layer_of(order["settings"]) as layer:
        if order["load"] == "wait":
            layer.receive(["bench.wait"])
            _ready()
            answer = wait(layer, "bench.wait")
        else:
            rounds = rounds_of(order["load"], layer, order["number"], order["settings"])
            for _ in itertools.islice(rounds, max(WARM_UP_ROUNDS, layer.ring_size)):
                pass
            _ready()
            sys.stdin.readline()
            answer = timed(rounds, order["seconds"])
        print(json.dumps(answer), flush=True)
        sys.stdin.readline()  # its end is no part of its CPU time


def _ready() -> None:
    print("ready", flush=True)


if __name__ == "__main__":
    main()
