"""What a type checker has to find; each line names the code of its error in mypy."""

from __future__ import annotations

from mysite.options import Painted, Tenant

import asgi_redis
from asgi_redis import (
    InMemoryChannelLayer,
    IPCChannelLayer,
    RedisChannelLayer,
    RedisLocalChannelLayer,
    RedisPubSubChannelLayer,
    RedisSentinelChannelLayer,
    get_channel_layer,
)
from asgi_redis.aio import RedisChannelLayer as AsyncRedisChannelLayer
from asgi_redis.layers.base import BaseChannelLayer
from workers import Channel, Worker, route

RedisChannelLayer(expirey=60)  # E: call-arg
RedisChannelLayer(expiry="60")  # E: arg-type
RedisChannelLayer(["redis://localhost"])  # E: arg-type call-arg
RedisChannelLayer(capacity="100")  # E: arg-type
InMemoryChannelLayer(hosts=["redis://localhost"])  # E: call-arg
RedisPubSubChannelLayer(stats_prefix="s:")  # E: call-arg
AsyncRedisChannelLayer(group_leas=60.0)  # E: call-arg
AsyncRedisChannelLayer(["redis://localhost"], group_lease="60")  # E: arg-type
RedisSentinelChannelLayer(host="localhost")  # E: call-arg
RedisLocalChannelLayer(local_layer=RedisChannelLayer())  # E: arg-type
IPCChannelLayer(connection_kwargs={})  # E: call-arg
Painted(color="red")  # E: call-arg
Painted(colour=5)  # E: arg-type
Tenant("one", capasity=5)  # E: call-arg
BaseChannelLayer()  # E: abstract
asgi_redis.RedisChanelLayer()  # E: attr-defined
Worker(object(), [])  # E: arg-type
route("a", 5)  # E: arg-type
Channel("a").send("text")  # E: arg-type

layer = get_channel_layer()
layer.send("a", ["no dict"])  # E: arg-type
layer.sendd("a", {})  # E: attr-defined
layer.receive(["a"])[1]["n"]  # E: index
layer.receive(["a"], timeout=5)  # E: call-arg
layer.delayed.send("a", {}, 1.5)  # E: union-attr
layer.channel_statistics("a")["messages_waiting"]  # E: typeddict-item
layer.group_send("g", {}).bit  # E: attr-defined

channel, message = layer.receive(["a"])
channel.upper()  # E: union-attr
message["n"]  # E: index
