"""
The asynchronous layer compared with channels_redis, each in one event loop.

    python -m benchmarks.aio               # three runs, about a minute
    python -m benchmarks.aio --quick       # one short run: does it work?
    python -m benchmarks.aio --runs 9 --seconds 2
    python -m benchmarks.aio --save        # writes benchmarks/results/aio.json

It starts a Redis. Messages have 100 B. Each figure is the median of the runs; within a run the layers take turns, and
each figure comes from a fresh process. "Receive" is for messages that are waiting already: in one normal channel, in
one process-local channel, and in a hundred of them with a task each. Ping-pong is there and back between two tasks of
one loop that wait on process-local channels. A group send is counted until Redis has answered; its members are normal
channels, or process-local channels of as many processes. "Idle" are tasks that wait, and receive nothing.
"""

from __future__ import annotations

import asyncio
import contextlib
import resource
import sys
import time
from collections.abc import Awaitable, Callable
from typing import Any

from benchmarks.comparison import Figure, command

MESSAGE = {"type": "bench.message", "data": "x" * 62}
LARGE = 1_000_000_000
Clock = time.perf_counter


def make_layer(subject: str, url: str) -> Any:
    """Return the layer of a subject."""
    if subject == "ours":
        from asgi_redis.aio import RedisChannelLayer

        return RedisChannelLayer(hosts=[url], capacity=LARGE)
    from channels_redis.core import RedisChannelLayer as StockLayer

    return StockLayer(hosts=[url], capacity=LARGE)


async def send(layer: Any, seconds: float, tasks: int) -> float:
    """Return messages a second."""
    return await rate(lambda: layer.send("work", MESSAGE), seconds, tasks)


async def receive_normal(layer: Any, seconds: float) -> float:
    """Return messages a second."""
    return await _receive(layer, ["work"], seconds)


async def receive_local(layer: Any, seconds: float, channels: int) -> float:
    """Return messages a second."""
    return await _receive(layer, [await layer.new_channel() for _ in range(channels)], seconds)


async def _receive(layer: Any, channels: list[str], seconds: float) -> float:
    each = max(20, int(4000 * seconds / len(channels)))
    # No more than the buffers of a process hold for each channel: only messages in Redis are measured.
    for _ in range(each):
        await asyncio.gather(*(layer.send(channel, MESSAGE) for channel in channels))

    async def take(channel: str) -> None:
        for _ in range(each):
            await layer.receive(channel)

    began = Clock()
    await asyncio.gather(*map(take, channels))
    return each * len(channels) / (Clock() - began)


async def ping_pong(layer: Any, seconds: float) -> list[float]:
    """Return the median and the 99th percentile, in microseconds."""
    ping, pong = await layer.new_channel(), await layer.new_channel()

    async def answer() -> None:
        while True:
            await layer.send(pong, await layer.receive(ping))

    answering = asyncio.ensure_future(answer())
    times = []
    until = Clock() + seconds
    while Clock() < until or len(times) < 100:
        began = Clock()
        await layer.send(ping, MESSAGE)
        await layer.receive(pong)
        times.append(1e6 * (Clock() - began))
    answering.cancel()
    await asyncio.wait([answering])
    times.sort()
    return [times[len(times) // 2], times[len(times) * 99 // 100]]


async def group_send(layer: Any, seconds: float, members: int, local: bool) -> float:
    """Return group sends a second."""
    for number in range(members):
        await layer.group_add("group", f"specific.{number:032x}!member" if local else f"member{number}")
    return await rate(lambda: layer.group_send("group", MESSAGE), seconds, 1)


async def group_to_tasks(layer: Any, seconds: float, members: int) -> float:
    """Return messages a second that arrive at waiting tasks of this process."""
    names = [await layer.new_channel() for _ in range(members)]
    for name in names:
        await layer.group_add("group", name)
    rounds, spent = 0, 0.0
    while spent < seconds:
        waiting = [asyncio.ensure_future(layer.receive(name)) for name in names]
        await asyncio.sleep(0.01)
        began = Clock()
        await layer.group_send("group", MESSAGE)
        await asyncio.gather(*waiting)
        spent += Clock() - began
        rounds += 1
    return rounds * members / spent


async def idle(layer: Any, seconds: float, tasks: int, busy: int) -> list[float]:
    """Return CPU share and MiB of waiting tasks, and messages a second of busy ones."""
    names = [await layer.new_channel() for _ in range(tasks + busy)]
    waiting = [asyncio.ensure_future(layer.receive(name)) for name in names[:tasks]]
    await asyncio.sleep(0.3)
    before, began = time.process_time(), Clock()
    await asyncio.sleep(2 * seconds)
    share = (time.process_time() - before) / (Clock() - began)
    received, until = 0, Clock() + seconds

    async def talk(name: str, other: str) -> None:
        nonlocal received
        while Clock() < until:
            await layer.send(other, MESSAGE)
            await layer.receive(name)
            received += 1

    talkers = names[tasks:]
    with contextlib.suppress(asyncio.TimeoutError):
        pairs = zip(talkers, talkers[1:] + talkers[:1])
        await asyncio.wait_for(asyncio.gather(*(talk(*pair) for pair in pairs)), 1.5 * seconds)
    for one in waiting:
        one.cancel()
    await asyncio.wait(waiting)
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return [100 * share, memory, received / seconds]


async def rate(call: Callable[[], Awaitable[Any]], seconds: float, tasks: int) -> float:
    await asyncio.gather(*(call() for _ in range(tasks)))
    calls, began = 0, Clock()
    until = began + seconds

    async def repeat() -> None:
        nonlocal calls
        while Clock() < until:
            await call()
            calls += 1

    await asyncio.gather(*(repeat() for _ in range(tasks)))
    return calls / (Clock() - began)


FIGURES: dict[str, Figure] = {
    "send, 1 task": ("/s", send, (1,)),
    "send, 64 tasks": ("/s", send, (64,)),
    "receive, a normal channel": ("/s", receive_normal, ()),
    "receive, a process-local channel": ("/s", receive_local, (1,)),
    "receive, 100 process-local channels": ("/s", receive_local, (100,)),
    "ping-pong": ("p50, µs|p99, µs", ping_pong, ()),
    **{f"group send to {number:,} channels": ("/s", group_send, (number, False)) for number in (1, 10, 100, 1000)},
    **{f"group send to {number:,} processes": ("/s", group_send, (number, True)) for number in (100, 1000)},
    "group message to 100 waiting tasks": ("messages/s", group_to_tasks, (100,)),
    # Stock channels_redis on redis-py 8 has a hundred connections at most, and takes one for each call under way.
    "1,000 idle and 50 busy tasks": ("CPU while idle, %|memory, MiB|messages/s", idle, (1000, 50)),
}

TARGETS = {
    "send, 1 task": 4,
    "send, 64 tasks": 12,
    "receive, a normal channel": 3,
    "ping-pong": 3,
    **{f"group send to {number} channels": 2.5 for number in (1, 10)},
    "group message to 100 waiting tasks": 3,
}
"""How many times as fast as channels_redis a row has to be."""


if __name__ == "__main__":
    sys.exit(command("benchmarks.aio", make_layer, FIGURES, TARGETS))
