"""The asynchronous layers."""

from __future__ import annotations

from asgi_redis import ChannelFull, InMemoryChannelLayer
from asgi_redis.aio import AsyncChannelLayer, RedisChannelLayer, RedisPubSubChannelLayer

layers: list[AsyncChannelLayer] = [
    RedisChannelLayer(["redis://localhost"], group_lease=60.0, on_disconnect="gone", capacity=10),
    RedisChannelLayer(hosts=["redis://localhost"]),
    RedisPubSubChannelLayer(hosts=["redis://localhost"], prefix="mysite"),
    AsyncChannelLayer(InMemoryChannelLayer()),
    AsyncChannelLayer({"BACKEND": "asgi_redis.IPCChannelLayer", "CONFIG": {"prefix": "mysite"}}),
]


async def talk(layer: AsyncChannelLayer) -> int:
    channel = await layer.new_channel()
    await layer.group_add("chat", channel)
    try:
        await layer.send(channel, {"type": "chat.message", "text": "hello"})
    except ChannelFull:
        return 0
    message = await layer.receive(channel)
    print(message["text"], layer.layer.extensions)
    dropped = await layer.group_send("chat", {"type": "chat.message"})
    if await layer.group_count("chat") > 1 and channel in await layer.group_channels("chat"):
        dropped += await layer.group_send("chat", {"type": "chat.message"}, exclude=[channel])
    await layer.group_discard("chat", channel)
    await layer.flush()
    await layer.close()
    return dropped
