"""
The asynchronous pub/sub layer compared with that of channels_redis.

    python -m benchmarks.pubsub            # three runs, about half a minute
    python -m benchmarks.pubsub --quick    # one short run: does it work?
    python -m benchmarks.pubsub --runs 9 --seconds 2
    python -m benchmarks.pubsub --save     # writes benchmarks/results/pubsub.json

It starts a Redis. Messages have 100 B. Each figure is the median of the runs; within a run the layers take turns, and
each figure comes from a fresh process with one event loop. Ping-pong is there and back between two tasks of one loop.
A group send is counted from the call until all the tasks, which wait in ``receive`` on a channel each, have their
message. "Receive" is for messages that have arrived at the process already, in one channel, and in a hundred with a
task each; "send and receive" is from one task to another, as fast as it goes.
"""

from __future__ import annotations

import asyncio
import statistics
import sys
from typing import Any

from benchmarks.aio import LARGE, MESSAGE, Clock, ping_pong, send
from benchmarks.comparison import Figure, command

TARGET = 1.1  # times as fast as channels_redis, in every row


def make_layer(subject: str, url: str) -> Any:
    """Return the layer of a subject."""
    if subject == "ours":
        from asgi_redis.aio import RedisPubSubChannelLayer

        return RedisPubSubChannelLayer(hosts=[url], capacity=LARGE)
    from channels_redis.pubsub import RedisPubSubChannelLayer as StockLayer

    class Stock(StockLayer):
        async def close_pools(self) -> None:
            await self.flush()

    return Stock(hosts=[url])


async def group_send(layer: Any, seconds: float, members: int) -> float:
    """Return the milliseconds until all have their message."""
    names = [await layer.new_channel() for _ in range(members)]
    for name in names:
        await layer.group_add("group", name)
    times: list[float] = []
    until = Clock() + 2 * seconds
    while Clock() < until or len(times) < 5:
        waiting = [asyncio.ensure_future(layer.receive(name)) for name in names]
        await asyncio.sleep(0.01)
        began = Clock()
        await layer.group_send("group", MESSAGE)
        await asyncio.gather(*waiting)
        times.append(1e3 * (Clock() - began))
    return statistics.median(times)


async def receive(layer: Any, seconds: float, channels: int) -> float:
    """Return messages a second."""
    each = max(20, int(4000 * seconds / channels))
    names = [await layer.new_channel() for _ in range(channels)]
    last = await layer.new_channel()
    for _ in range(each):
        await asyncio.gather(*(layer.send(name, MESSAGE) for name in names))
    await layer.send(last, MESSAGE)
    await layer.receive(last)

    async def take(name: str) -> None:
        for _ in range(each):
            await layer.receive(name)

    began = Clock()
    await asyncio.gather(*map(take, names))
    return each * channels / (Clock() - began)


async def send_and_receive(layer: Any, seconds: float) -> float:
    """Return messages a second."""
    name, number = await layer.new_channel(), max(100, int(8000 * seconds))

    async def put() -> None:
        for _ in range(number):
            await layer.send(name, MESSAGE)

    began = Clock()
    sending = asyncio.ensure_future(put())
    for _ in range(number):
        await layer.receive(name)
    took = Clock() - began
    await sending
    return number / took


FIGURES: dict[str, Figure] = {
    "send, 1 task": ("/s", send, (1,)),
    "send, 64 tasks": ("/s", send, (64,)),
    "ping-pong": ("p50, µs|p99, µs", ping_pong, ()),
    "group send to 1 waiting task": ("ms", group_send, (1,)),
    **{f"group send to {number:,} waiting tasks": ("ms", group_send, (number,)) for number in (10, 100, 1000)},
    "receive, a channel": ("/s", receive, (1,)),
    "receive, 100 channels": ("/s", receive, (100,)),
    "send and receive": ("/s", send_and_receive, ()),
}


if __name__ == "__main__":
    title = "Over pub/sub: asgi_redis.aio beside channels_redis"
    sys.exit(command("benchmarks.pubsub", make_layer, FIGURES, dict.fromkeys(FIGURES, TARGET), title=title))
