"""The interface over every layer of the package."""

from __future__ import annotations

import pytest
import redis

from asgi_redis import (
    InMemoryChannelLayer,
    IPCChannelLayer,
    RedisChannelLayer,
    RedisClusterChannelLayer,
    RedisLocalChannelLayer,
    RedisPubSubChannelLayer,
    RedisSentinelChannelLayer,
    aio,
)
from asgi_redis.interface import Interface
from tests.support.interface.stand_in import Echo
from tests.support.stores.lmdb_stores import base  # noqa: F401  a fixture

pytestmark = pytest.mark.native("event loops in native threads")

MEBIBYTE = 1 << 20


def redis_layer(request, prefix, **settings):
    return RedisChannelLayer(hosts=[request.getfixturevalue("redis_server").url], prefix=prefix, **settings)


def shards(request, prefix):
    hosts = [server.url for server in request.getfixturevalue("three_redis_servers")]
    return RedisChannelLayer(hosts=hosts, prefix=prefix)


def sentinel(request, prefix):
    running = request.getfixturevalue("sentinel")
    return RedisSentinelChannelLayer(hosts=running.sentinels, services=[running.master_name], prefix=prefix)


def local(request, prefix):
    url = request.getfixturevalue("redis_server").url
    ipc = {"BACKEND": "asgi_redis.IPCChannelLayer", "CONFIG": {"path": request.getfixturevalue("base")}}
    return RedisLocalChannelLayer(hosts=[url], prefix=prefix, local_layer=ipc)


def cluster(request, prefix):
    return RedisClusterChannelLayer(
        hosts=request.getfixturevalue("single_node_cluster").hosts, shards=3, prefix=prefix
    )


def ipc(request, prefix):
    return IPCChannelLayer(prefix=prefix, path=request.getfixturevalue("base"))


def encrypted(request, prefix):
    return redis_layer(request, prefix, symmetric_encryption_keys=["secret"])


LAYERS = {
    "redis": redis_layer,
    "shards": shards,
    "sentinel": sentinel,
    "local": local,
    "cluster": cluster,
    "ipc": ipc,
    "encrypted": encrypted,
}


@pytest.fixture(params=[*LAYERS, "memory", "facade", "facade of a cluster"])
def layers(request, prefix):
    """The interface's layer and the worker's, as keyword arguments of ``interface_for``."""
    if request.param == "memory":
        return {"layer": InMemoryChannelLayer()}
    if request.param == "facade":
        url = request.getfixturevalue("redis_server").url
        return {
            "layer": aio.RedisChannelLayer(hosts=[url], prefix=prefix),
            "worker_layer": redis_layer(request, prefix),
        }
    if request.param == "facade of a cluster":
        layer = cluster(request, prefix)
        return {
            "layer": aio.RedisClusterChannelLayer(layer.hosts, shards=3, prefix=prefix),
            "worker_layer": layer,
        }
    make = LAYERS[request.param]
    return {"layer": make(request, prefix), "worker_layer": make(request, prefix)}


class Room(Echo):
    """Adds every websocket to a group."""

    def connect(self, worker, message):
        worker.layer.group_add("room", message["reply_channel"])
        worker.reply(message, {"accept": True})


def test_requests_websockets_and_groups(layers, interface_for, request):
    shards = any(word in request.node.name for word in ("shards", "cluster"))
    running = interface_for(Room(), **layers)
    body = b"\x00\xff" * (MEBIBYTE // 2)
    answer = running.site.http().request("POST", "/", body)
    assert (answer.status, answer.body) == (200, body)
    clients = [running.site.websocket(f"/{number}") for number in range(3)]
    for number in range(20):
        clients[0].send(f"text {number}")
        clients[1].send(b"\x00%d" % number)
    received = [{client.receive() for _ in range(20)} for client in clients[:2]]
    assert received[0] == {f"text {number}" for number in range(20)}
    assert received[1] == {b"\x00%d" % number for number in range(20)}
    for path in ("/0", "/1"):
        orders = [m["order"] for m in running.worker.of("websocket.receive") if m["path"] == path]
        # Over shards a channel is several queues, and consumers go by the order.
        assert (sorted(orders) if shards else orders) == list(range(1, 21))
    running.worker.layer.send_group("room", {"text": "all"})
    assert [client.receive() for client in clients] == ["all"] * 3
    for client in clients:
        client.close_with(4000)
    disconnects = running.worker.sees("websocket.disconnect", 3)
    assert {(message["path"], message["code"]) for message in disconnects} == {
        ("/0", 4000),
        ("/1", 4000),
        ("/2", 4000),
    }


def test_failover_of_a_sentinel_closes_no_socket(fresh_sentinel, prefix, interface_for):
    def make():
        return RedisSentinelChannelLayer(
            hosts=fresh_sentinel.sentinels, services=[fresh_sentinel.master_name], prefix=prefix
        )

    running = interface_for(layer=make(), worker_layer=make())
    client = running.site.websocket()
    client.send("before")
    assert client.receive() == "before"
    with redis.Redis.from_url(fresh_sentinel.master.url) as server:
        server.set(f"{prefix}mark", 1)
        assert server.wait(1, 20_000) == 1  # otherwise the replica may still have "before"
    fresh_sentinel.master.kill()
    client.send("during")
    assert client.receive() == "during"
    client.send("after")
    assert client.receive() == "after"


def test_pubsub_is_refused(redis_server, prefix):
    """It has no queues: what no worker hears is lost."""
    with (
        RedisPubSubChannelLayer(hosts=[redis_server.url], prefix=prefix) as layer,
        pytest.raises(ValueError, match="RedisPubSubChannelLayer"),
    ):
        Interface(layer).services()
