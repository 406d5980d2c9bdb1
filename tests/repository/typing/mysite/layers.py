"""The layers with their options, and their calls."""

from __future__ import annotations

import re

from asgi_redis import (
    ChannelFull,
    InMemoryChannelLayer,
    IPCChannelLayer,
    MessageTooLarge,
    RedisChannelLayer,
    RedisLocalChannelLayer,
    RedisPubSubChannelLayer,
    RedisSentinelChannelLayer,
    __version__,
    get_channel_layer,
)
from asgi_redis.exceptions import ChannelLayerError, UnsupportedExtension
from asgi_redis.layers.base import BaseChannelLayer
from asgi_redis.serializers import BaseMessageSerializer, SerializerDoesNotExist, registry

layers: list[BaseChannelLayer] = [
    RedisChannelLayer(
        hosts=[
            "redis://user:password@host:6379/0",
            ("host", 6379),
            {"address": "rediss://host:6380", "ssl_ca_certs": "/etc/ssl/redis.pem"},
            {"host": "host", "port": 6379, "db": 1, "password": "..."},
            {"sentinels": [("host", 26379)], "master_name": "mymaster", "sentinel_kwargs": {"password": "..."}},
        ],
        prefix="mysite",
        expiry=0.5,
        group_expiry=86400,
        capacity=100,
        channel_capacity={"http.request": 200, re.compile(r"^websocket\.send!.+"): 20},
        symmetric_encryption_keys=["new", b"old"],
        connection_kwargs={"socket_timeout": 20, "max_connections": None},
        serializer_format="msgpack",
        random_prefix_length=12,
        stats_prefix="asgi-meta:",
        max_message_bytes=1 << 20,
    ),
    RedisChannelLayer(host="localhost", port=6379, db=0),
    RedisSentinelChannelLayer(hosts=[("sentinel", 26379)], services=["one", "two"], sentinel_refresh_interval=1.5),
    RedisLocalChannelLayer(hosts=["redis://host"], local_layer={"BACKEND": "asgi_redis.IPCChannelLayer"}),
    RedisLocalChannelLayer(local_layer=InMemoryChannelLayer()),
    RedisPubSubChannelLayer(hosts=["redis://host"], on_disconnect="gone", on_reconnect="back"),
    IPCChannelLayer(prefix="mysite", path="/run/mysite", max_bytes=1 << 26),
    InMemoryChannelLayer(capacity=5),
    get_channel_layer(),
    get_channel_layer("other"),
]


class PickleSerializer(BaseMessageSerializer):
    def as_bytes(self, message: dict[str, object]) -> bytes:
        return repr(message).encode()

    def from_bytes(self, message: bytes) -> dict[str, object]:
        return {"text": message.decode()}


registry.register_serializer("pickle", PickleSerializer)


class Counting(RedisChannelLayer):
    """Sees each message that is sent."""

    sent = 0

    def send(self, channel: str, message: dict[str, object]) -> None:
        self.sent += 1
        super().send(channel, message)


def send(layer: BaseChannelLayer) -> int:
    try:
        layer.send("thumbnails", {"id": 42})
    except (ChannelFull, layer.MessageTooLarge, MessageTooLarge, ChannelLayerError):
        return 0
    layer.group_add("editors", "thumbnails")
    dropped = layer.send_group("editors", {"text": "hello"}) + layer.group_send("editors", {"text": "hello"})
    dropped += layer.send_group("editors", {"text": "hello"}, exclude=["thumbnails"]) * layer.group_count("editors")
    layer.group_discard("editors", "thumbnails")
    if layer.delayed is not None:
        layer.delayed.send("thumbnails", {"id": 42}, 1.5)
    return dropped + len(layer.group_channels("editors"))


def receive(layer: BaseChannelLayer) -> object:
    received = layer.receive(["thumbnails", layer.new_channel("reply?")], block=True)
    if received[0] is not None:
        print(received[0].upper(), received[1]["id"])
    channel, message = layer.receive_many(["thumbnails"])
    if channel is None or message is None:
        return None
    for name, content in layer.receive_batch([channel], 10, timeout=0.5):
        print(name.upper(), content["id"])
    layer.unblock()
    return message["id"]


def look(layer: BaseChannelLayer) -> float:
    counts = layer.channel_statistics("thumbnails")
    pending: int = counts["messages_pending"] + layer.global_statistics()["channel_full_count"]
    oldest: float = max(one["messages_max_age"] for one in layer.many_channel_statistics(["a", "b"]).values())
    return pending + oldest + (layer.undecodable_count or 0)


def use() -> str:
    with RedisChannelLayer(hosts=["redis://localhost"]) as layer:
        hosts: list[str] = layer.hosts
        decoded = layer.deserialize(layer.serialize({"id": 1}))
        try:
            layer.flush()
        except UnsupportedExtension:
            print("nothing was flushed")
        return f"{__version__} {hosts} {decoded} {layer.get_capacity('a')} {layer.extensions} {layer.ring_size}"


def serializer() -> bytes:
    try:
        return registry.get_serializer("pickle").serialize({})
    except SerializerDoesNotExist:
        return b""
