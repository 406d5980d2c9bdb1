"""Many threads and coroutines that wait, each for a channel."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from queue import SimpleQueue
from typing import Any

from asgi_redis.aio import RedisChannelLayer, RedisPubSubChannelLayer

from .bench import MESSAGE, SETTINGS, Bench

_SETTLE_SECONDS = 0.002  # until coroutines that were just started wait
_SETTLE_SECONDS_EACH = 50e-6
_END = {"end": True}


def each_thread(bench: Bench, number: int) -> None:
    """Send a message to each of the waiting threads; until all have it, and wait again."""
    arrived: SimpleQueue[None] = SimpleQueue()
    times = _times(number)
    with _waiting(bench, number, lambda: arrived.put(None)) as names:

        def call() -> None:
            for _ in range(times):
                for name in names:
                    bench.layer.send(name, MESSAGE)
                for _ in names:
                    arrived.get()
            bench.await_waits(number)

        bench.measure(call, times * number)


def send_beside_threads(bench: Bench, number: int) -> None:
    """Send to another channel while threads wait, and receive from it."""

    def call() -> None:
        bench.layer.send("other", MESSAGE)
        bench.layer.receive(["other"])

    with _waiting(bench, number, int):
        bench.repeat(call, 500)


@contextmanager
def _waiting(bench: Bench, number: int, arrived: Callable[[], object]) -> Iterator[list[str]]:
    """Have threads wait, each for the messages of its channel; yield the names of the channels."""

    def receive(name: str) -> None:
        message = None
        while message != _END:
            _, message = bench.layer.receive([name], block=True)
            if message is not None:
                arrived()

    names = [f"work{position}" for position in range(number)]
    waiting = [threading.Thread(target=receive, args=(name,)) for name in names]
    for thread in waiting:
        thread.start()
    bench.await_waits(number)
    yield names
    for name in names:
        bench.layer.send(name, _END)
    for thread in waiting:
        thread.join()


def coroutines_own(bench: Bench, number: int) -> None:
    """Send a message to the process-local channel of each."""
    _coroutines(bench, RedisChannelLayer(hosts=bench.urls, **SETTINGS), number, own=True)


def coroutines_normal(bench: Bench, number: int) -> None:
    """Send a message to a normal channel for each."""
    _coroutines(bench, RedisChannelLayer(hosts=bench.urls, **SETTINGS), number, own=False)


def coroutines_group(bench: Bench, number: int) -> None:
    """Send one message to the group of all."""
    _coroutines(bench, RedisChannelLayer(hosts=bench.urls, **SETTINGS), number, own=True, group=True)


def coroutines_pubsub(bench: Bench, number: int) -> None:
    """Send a message to each over pub/sub."""
    _coroutines(bench, RedisPubSubChannelLayer(hosts=bench.urls), number, own=True)


def coroutines_pubsub_group(bench: Bench, number: int) -> None:
    """Send one message to the group of all over pub/sub."""
    _coroutines(bench, RedisPubSubChannelLayer(hosts=bench.urls), number, own=True, group=True)


def _coroutines(bench: Bench, layer: Any, number: int, own: bool, group: bool = False) -> None:
    loop = asyncio.new_event_loop()

    async def make_names() -> list[str]:
        names = [await layer.new_channel() if own else f"work{position}" for position in range(number)]
        for name in names if group else ():
            await layer.group_add("group", name)
        return names

    names = loop.run_until_complete(make_names())

    async def deliver() -> None:
        waiting = [asyncio.ensure_future(layer.receive(name)) for name in names]
        await asyncio.sleep(_SETTLE_SECONDS + number * _SETTLE_SECONDS_EACH)
        if group:
            await layer.group_send("group", MESSAGE)
        else:
            await asyncio.gather(*(layer.send(name, MESSAGE) for name in names))
        await asyncio.gather(*waiting)

    bench.repeat(lambda: loop.run_until_complete(deliver()), _times(number), number)
    loop.run_until_complete(layer.close_pools())
    loop.close()


def _times(number: int) -> int:
    return max(1, 20 // number)
