"""Asynchronous layers in a patched process, whose event loop and whose threads of a layer are greenlets."""

from __future__ import annotations

import subprocess
import sys

import pytest

pytest.importorskip("gevent")

PROGRAM = """
from gevent import monkey
monkey.patch_all()
import asyncio, sys, time
import gevent
from asgi_redis import InMemoryChannelLayer, IPCChannelLayer
from asgi_redis.aio import AsyncChannelLayer, RedisChannelLayer, RedisClusterChannelLayer, RedisPubSubChannelLayer

kind, place, prefix = sys.argv[1:]
layer = {
    "redis": lambda: RedisChannelLayer(hosts=[place], prefix=prefix),
    "cluster": lambda: RedisClusterChannelLayer(hosts=[place], shards=3, prefix=prefix),
    "pubsub": lambda: RedisPubSubChannelLayer(hosts=[place], prefix=prefix),
    "ipc": lambda: AsyncChannelLayer(IPCChannelLayer(path=place)),
    "memory": lambda: AsyncChannelLayer(InMemoryChannelLayer()),
}[kind]()

async def serve():
    channel = await layer.new_channel()
    await layer.group_add("group", channel)
    for number in range(20):
        reader = asyncio.ensure_future(layer.receive(channel))
        await asyncio.sleep(0.001 * (number % 3))  # it waits already, or not yet
        if number % 2:
            await layer.send(channel, {"type": "a", "number": number})
        else:
            await layer.group_send("group", {"type": "a", "number": number})
        assert (await asyncio.wait_for(reader, 20))["number"] == number
    await layer.close()

def tick():
    while True:
        ticks.append(1)
        time.sleep(0.001)

ticks = []
gevent.spawn(tick)
asyncio.run(serve())
print("fine" if ticks else "the other greenlets starve")
"""


@pytest.mark.parametrize("kind", ["redis", "pubsub", "cluster", "ipc", "memory"])
def test_coroutines_are_served_while_other_greenlets_run(kind, request, prefix, tmp_path):
    place = {
        "redis": lambda: request.getfixturevalue("redis_server").url,
        "pubsub": lambda: request.getfixturevalue("redis_server").url,
        "cluster": lambda: request.getfixturevalue("shared_masters").urls[0],
    }.get(kind, lambda: tmp_path)()
    program = [sys.executable, "-c", PROGRAM, kind, place, prefix]
    done = subprocess.run(program, capture_output=True, text=True, timeout=40)
    assert (done.returncode, done.stdout, done.stderr) == (0, "fine\n", "")
