"""Names that others have written into entries and groups: looked at where they are read, and quoted in the log."""

from __future__ import annotations

import asyncio
import logging
import time
import tracemalloc

import msgpack
import pytest
import redis

from asgi_redis.aio import RedisChannelLayer
from asgi_redis.engine import fanout
from workers import Channel, Group

FORGED = "x\n2030-01-01 00:00:00,000 CRITICAL root: forged \x1b[31m"


@pytest.fixture
def client(redis_server):
    with redis.Redis.from_url(redis_server.unix_url, protocol=2) as client:
        yield client


@pytest.fixture
def write(client, prefix):
    """``write(queue, channels)`` puts an entry for those channels there."""

    def write(queue, channels):
        entry = b"x" * 12 + msgpack.packb({"n": 0, "__asgi_channel__": channels})
        client.zadd(f"{prefix}{queue}", {entry: time.time()})

    return write


@pytest.mark.parametrize(
    "channels",
    [
        f"p!{FORGED}",
        ["p!x", f"p!{FORGED}"],
        ["p!x", "p!" + "x" * 98],
        ["p!x", "p!é"],
        ["p!x", "q!x"],
        ["p!x", "p!x!y"],
        ["p!x", b"p!y"],
        [FORGED],
    ],
)
def test_an_entry_with_a_name_that_is_none_is_dropped(layer_for, redis_server, write, caplog, channels):
    layer = layer_for(redis_server)
    write("p!", channels)
    layer.send("p!z", {"n": 1})
    assert layer.receive(["p!"]) == ("p!z", {"n": 1})
    assert layer.receive(["p!"]) == (None, None)
    assert layer.undecodable_count == 1
    assert "forged" not in caplog.text
    assert "'p!'" in caplog.text


def test_a_channel_that_is_named_again_and_again_gets_it_once(layer_for, redis_server, write):
    layer = layer_for(redis_server)
    write("p!", ["p!x", "p!y"] * 50_000)
    layer.send("p!z", {"n": 1})
    received = [layer.receive(["p!"]) for _ in range(4)]
    assert received == [("p!x", {"n": 0}), ("p!y", {"n": 0}), ("p!z", {"n": 1}), (None, None)]


def test_names_that_nothing_reads_are_bounded(layer_for, redis_server, write, monkeypatch):
    monkeypatch.setattr(fanout, "MOST_BYTES", 4 << 20)
    layer = layer_for(redis_server)
    tracemalloc.start()
    try:
        for entry in range(20):
            write("p!", [f"p!{entry}.{number}" for number in range(10_000)])
            assert layer.receive(["p!"])[0]
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 20_000_000


def test_coroutines_are_served_beside_names_that_nothing_waits_for(redis_server, prefix, write):
    async def main():
        layer = RedisChannelLayer([redis_server.url], prefix=prefix)
        try:
            channel = await layer.new_channel("p")
            queue = channel.partition("!")[0] + "!"
            write(queue, [f"{queue}{number}" for number in range(20_000)])
            task = asyncio.create_task(layer.receive(channel))
            await layer.send(channel, {"n": 1})
            assert await asyncio.wait_for(task, 30) == {"n": 1}
        finally:
            await layer.close()

    asyncio.run(main())


def test_members_of_groups_that_are_no_channels_are_left_out(layer_for, redis_server, client, prefix, caplog):
    layer = layer_for(redis_server)
    layer.group_add("group", "work")
    layer.group_add("group", "p!x")
    for name in (FORGED, f"p!{FORGED}", "p!x!y", "a b", "é", "", "x" * 100):
        client.zadd(f"{prefix}:group:group", {name: time.time()})
    assert sorted(layer.group_channels("group")) == ["p!x", "work"]
    with caplog.at_level(logging.DEBUG, "asgi_redis"):
        assert layer.send_group("group", {"n": 1}) == 0
    assert layer.receive(["work"]) == ("work", {"n": 1})
    assert layer.receive(["p!"]) == ("p!x", {"n": 1})
    assert all(b"forged" not in key for key in client.keys(f"{prefix}*"))
    assert "forged" not in caplog.text


@pytest.mark.parametrize("kind", [Channel, Group])
def test_destinations_of_consumers_are_quoted(kind, layer_for, redis_server):
    assert "\n" not in repr(kind(FORGED, channel_layer=layer_for(redis_server)))
