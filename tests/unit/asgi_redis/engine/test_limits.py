"""What a reader of any layer takes where channels have limits of their own."""

from __future__ import annotations

import tempfile
import threading
import time
from pathlib import Path

import pytest

from asgi_redis import (
    InMemoryChannelLayer,
    IPCChannelLayer,
    RedisChannelLayer,
    RedisLocalChannelLayer,
    RedisPubSubChannelLayer,
)
from asgi_redis.engine.limits import ReceiveLimits
from tests.support.waiting import eventually

NAMES = ("a", "b", "c")


@pytest.fixture
def short_path():
    """One that leaves room for the names of sockets."""
    with tempfile.TemporaryDirectory() as path:
        yield Path(path)


@pytest.fixture(params=["redis", "shards", "local", "memory", "ipc", "pubsub"])
def layer(request, redis_server, prefix, short_path):
    hosts = [redis_server.url]
    make = {
        "redis": lambda: RedisChannelLayer(hosts=hosts, prefix=prefix),
        "shards": lambda: RedisChannelLayer(hosts=[*hosts, redis_server.url.replace("/0", "/1")], prefix=prefix),
        "local": lambda: RedisLocalChannelLayer(
            hosts=hosts, prefix=prefix, local_layer=IPCChannelLayer(prefix=prefix, path=short_path)
        ),
        "memory": InMemoryChannelLayer,
        "ipc": lambda: IPCChannelLayer(prefix=prefix, path=short_path),
        "pubsub": lambda: RedisPubSubChannelLayer(hosts=hosts, prefix=prefix),
    }
    if request.param in {"local", "ipc"}:
        pytest.importorskip("lmdb")
    with make[request.param]() as layer:
        yield layer


@pytest.fixture
def reader(layer):
    reader = layer.reader()
    reader.receive_batch(NAMES, 1, 0.1)  # for pub/sub, which hears what comes from now on
    eventually(lambda: reader.receive_batch(NAMES, 1) == [] and reader.serving)
    yield reader
    reader.close()


def taken(reader, limit, limits, timeout=2.0):
    """Returns the channels of what it takes, in any order, until there is no more."""
    channels, deadline = [], time.monotonic() + timeout
    while time.monotonic() < deadline:
        batch = reader.receive_batch(NAMES, limit, 0.05, limits)
        channels += [channel for channel, _ in batch]
        if not batch and channels:
            break
    return sorted(channels)


@pytest.mark.parametrize(
    "limits", [ReceiveLimits(NAMES, None, {"a": 0}), {"a": 0}, ReceiveLimits(NAMES, 5, {"a": -1})]
)
def test_a_channel_with_no_room_is_left_out(limits, layer, reader):
    for _ in range(2):
        for name in NAMES:
            layer.send(name, {})
    assert taken(reader, 10, limits) == ["b", "b", "c", "c"]
    assert taken(reader, 10, None) == ["a", "a"]


@pytest.mark.parametrize(
    ("each", "some", "expected"),
    [
        (1, {}, ["a", "b", "c"]),
        (1, {"a": 0}, ["b", "c"]),
        (2, {"a": 1}, ["a", "b", "b", "c", "c"]),
        (None, {"a": 1, "b": 0}, ["a", "c", "c", "c"]),
        (None, {"b": 0}, ["a", "a", "a", "c", "c", "c"]),
    ],
)
def test_no_more_than_that_comes_at_once(each, some, expected, layer, reader):
    for _ in range(3):
        for name in NAMES:
            layer.send(name, {})

    def batch():
        return sorted(
            channel for channel, _ in reader.receive_batch(NAMES, 20, 0.05, ReceiveLimits(NAMES, each, some))
        )

    if isinstance(layer, RedisPubSubChannelLayer):
        reader.receive_batch(NAMES, 20, 0.05, dict.fromkeys(NAMES, 0))
        eventually(lambda: sum(len(inbox.messages) for inbox in layer.listen(NAMES)) == 9)
    assert batch() == expected


def test_what_waits_is_not_woken_by_a_channel_with_no_room(layer, reader):
    """Nor does it spin: there may be messages all the time."""
    layer.send("a", {})
    before, used = time.monotonic(), time.thread_time()
    threading.Timer(0.3, layer.send, ("a", {})).start()
    assert reader.receive_batch(NAMES, 10, 0.6, ReceiveLimits(NAMES, 2, {"a": 0})) == []
    assert time.monotonic() - before >= 0.55
    assert time.thread_time() - used < 0.1
    threading.Timer(0.1, layer.send, ("b", {"n": 1})).start()
    assert reader.receive_batch(NAMES, 10, 10, ReceiveLimits(NAMES, 2, {"a": 0})) == [("b", {"n": 1})]
    assert time.monotonic() - before < 8


def test_it_is_a_mapping_of_what_has_a_limit():
    assert dict(ReceiveLimits(NAMES, None, {"b": 2})) == {"b": 2}
    assert dict(ReceiveLimits(NAMES, 3, {"b": 2})) == {"a": 3, "b": 2, "c": 3}
    assert len(ReceiveLimits(NAMES, 3, {"b": 2})) == 3
    assert ReceiveLimits(NAMES, None, {}).get("a", 7) == 7
    assert not ReceiveLimits(NAMES, None, {})
