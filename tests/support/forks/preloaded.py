"""
What a process does with layers that were made and used before it was forked. Server processes import it, too.

``LAYERS`` is made at import, as a preloaded application makes it, from the environment: ``REDIS_URLS``, ``PREFIX``,
``IPC_PATH`` and, to have some of them only, ``KINDS``.
"""

from __future__ import annotations

import asyncio
import json
import os
import traceback

import asgi_redis
from asgi_redis import aio

URLS = os.environ["REDIS_URLS"].split()
PREFIX = os.environ["PREFIX"]
IPC_PATH = os.environ["IPC_PATH"]
MANY = 100_000


def django_layer():
    from django.conf import settings

    if not settings.configured:
        redis_py = {"BACKEND": "asgi_redis.RedisChannelLayer", "CONFIG": settings_of("django")}
        settings.configure(CHANNEL_LAYERS={"default": redis_py})
    return asgi_redis.get_channel_layer()


def settings_of(kind):
    return {"hosts": URLS, "prefix": f"{PREFIX}{kind}", "capacity": MANY}


def ipc(kind, **settings):
    return asgi_redis.IPCChannelLayer(path=IPC_PATH, prefix=f"{PREFIX}{kind}", capacity=MANY, **settings)


MAKE = {
    "redis": lambda: asgi_redis.RedisChannelLayer(**settings_of("redis")),
    "local": lambda: asgi_redis.RedisLocalChannelLayer(**settings_of("local"), local_layer=ipc("l")),
    "pubsub": lambda: asgi_redis.RedisPubSubChannelLayer(**settings_of("pubsub")),
    "ipc": lambda: ipc("ipc"),
    "memory": lambda: asgi_redis.InMemoryChannelLayer(capacity=MANY),
    "django": django_layer,
    "aio-redis": lambda: aio.RedisChannelLayer(**settings_of("aio-redis")),
    "aio-pubsub": lambda: aio.RedisPubSubChannelLayer(**settings_of("aio-pubsub")),
    "aio-ipc": lambda: aio.AsyncChannelLayer(ipc("aio-ipc")),
}
LAYERS = {kind: MAKE[kind]() for kind in os.environ.get("KINDS", " ".join(MAKE)).split()}


def use(kind, who, rounds=5):
    """Sends and receives; raises what is wrong. Returns the layer's prefix, which is to be no other process's."""
    layer = LAYERS[kind]
    if kind.startswith("aio"):
        asyncio.run(_use_async(layer, who, rounds))
    elif "pubsub" in kind:
        _use_pubsub(layer, who, rounds)
    else:
        _use(layer, who, rounds)
    return layer.client_prefix


def _use(layer, who, rounds):
    own = f"own.{who}.{layer.client_prefix}!"
    for number in range(rounds):
        layer.send("shared", {"number": number})  # equal in all processes
        layer.group_add(f"group.{who}.{os.getpid()}", f"{own}{number}")
        members = layer.group_channels(f"group.{who}.{os.getpid()}")
        assert f"{own}{number}" in members, members
        assert all(name.startswith(own) for name in members), members
        layer.send(f"{own}a", {"who": who, "number": number})
        assert layer.receive([own], block=bool(number % 2)) == (f"{own}a", {"who": who, "number": number})


def _use_pubsub(layer, who, rounds):
    own, group = layer.new_channel(), f"group.{who}"
    assert layer.group_channels(group) == []
    layer.group_add(group, own)
    assert layer.group_channels(group) == [own]
    layer.group_discard(group, own)
    for number in range(rounds):
        layer.send(own, {"who": who, "number": number})
        assert layer.receive([own], block=True) == (own, {"who": who, "number": number})
    layer.close_channel(own)


async def _use_async(layer, who, rounds):
    own = await layer.new_channel()
    await layer.group_add("group", own)
    await layer.group_discard("group", own)
    for number in range(rounds):
        if not isinstance(layer, aio.RedisPubSubChannelLayer):
            await layer.send("shared", {"number": number})
        await layer.send(own, {"who": who, "number": number})
        received = await asyncio.wait_for(layer.receive(own), 10)
        assert received == {"who": who, "number": number}, received


def sent_of(kind):
    """Returns the numbers of all that was sent to the shared channel."""
    layer = LAYERS[kind]
    layer = layer.layer if kind.startswith("aio") else layer
    numbers = []
    while batch := layer.receive_batch(["shared"], 1000):
        numbers += [message["number"] for _, message in batch]
    return numbers


def report(who, rounds=5, kinds=LAYERS):
    """Uses layers; returns JSON of the process and its prefixes, or of what was wrong."""
    try:
        prefixes = {kind: use(kind, who, rounds) for kind in kinds}
    except Exception:  # noqa: BLE001  for the test to show
        return json.dumps({"error": traceback.format_exc()})
    return json.dumps({"pid": os.getpid(), "prefixes": prefixes})
