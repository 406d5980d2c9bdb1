"""The layer over a cluster: its options, its parts, and what its channels hear of an outage."""

from __future__ import annotations

import asyncio
import inspect

import pytest

from asgi_redis import RedisClusterChannelLayer, RedisLocalChannelLayer, aio
from asgi_redis.aio.pipelined import PipelinedChannelLayer, asynchronous
from asgi_redis.exceptions import ConfigurationError, UnknownSetting
from tests.support.async_waiting import until, waits
from tests.support.clusters import run_single_node_cluster

pytestmark = pytest.mark.native("event loops in native threads")

HELLO = {"type": "hello"}
MEMORY = "asgi_redis.InMemoryChannelLayer"


def options(layer):
    return set(inspect.signature(layer).parameters) - {"hosts"}


def test_its_options_are_those_of_the_synchronous_layer_and_three_for_coroutines():
    own = {"group_lease", "on_disconnect", "on_reconnect"}
    assert options(aio.RedisClusterChannelLayer) == options(RedisClusterChannelLayer) | own


def test_wrong_options_are_named():
    with pytest.raises(ConfigurationError, match="shards is missing"):
        aio.RedisClusterChannelLayer(["redis://localhost:1"])
    with pytest.raises(UnknownSetting, match="has no setting 'group_leese'; did you mean 'group_lease'"):
        aio.RedisClusterChannelLayer(["redis://localhost:1"], shards=1, group_leese=1)
    with pytest.raises(UnknownSetting, match="has no setting 'db'"):
        aio.RedisClusterChannelLayer(["redis://localhost:1"], shards=1, db=1)
    with pytest.raises(TypeError, match="hosts"):
        aio.RedisClusterChannelLayer(["redis://localhost:1"], hosts=["redis://localhost:1"], shards=1)


def test_another_number_of_shards_is_an_error_of_each_call(cluster_for, single_node_cluster):
    one, other = cluster_for(single_node_cluster, shards=1), cluster_for(single_node_cluster, shards=2)

    async def run():
        await one.send("work", HELLO)
        for _ in range(3):
            with pytest.raises(ConfigurationError, match="shards is 2, but other processes"):
                await other.group_send("chat" if other.layer.consistent_hash("chat") == 0 else "news", HELLO)

    assert {other.layer.consistent_hash(group) for group in ("chat", "news")} == {0, 1}
    asyncio.run(run())


def test_receive_threads_leave_connections_for_the_other_calls(cluster_for, single_node_cluster):
    """All shards may be on one node, and a thread waits on each of them."""
    threads = {
        limit: cluster_for(
            single_node_cluster, shards=4, connection_kwargs={"max_connections": limit}
        )._mailboxes.receiver._settings.max_threads
        for limit in (4, 8, 80)
    }
    assert threads == {4: 1, 8: 1, 80: 10}


def test_a_synchronous_layer_over_a_cluster_gets_pipelines(single_node_cluster, prefix, closing):
    settings = {"hosts": single_node_cluster.hosts, "shards": 2, "prefix": prefix}
    whole = closing(asynchronous(RedisClusterChannelLayer(**settings)))
    local = closing(asynchronous(RedisLocalChannelLayer(**settings, local_layer={"BACKEND": MEMORY})))
    assert isinstance(whole, PipelinedChannelLayer)
    assert not isinstance(local, PipelinedChannelLayer)

    async def run():
        for layer in (whole, local):
            channel = await layer.new_channel()
            await layer.group_add("chat", channel)
            await layer.send(channel, HELLO)
            await layer.group_send("chat", HELLO)
            assert [await asyncio.wait_for(layer.receive(channel), 10) for _ in range(2)] == [HELLO, HELLO]
            await layer.flush()

    asyncio.run(run())


def test_channels_hear_of_an_outage_and_are_in_their_groups_at_its_end(cluster_for):
    with run_single_node_cluster() as cluster:
        layer = cluster_for(
            cluster,
            on_disconnect="redis.away",
            on_reconnect="redis.back",
            connection_kwargs={"socket_connect_timeout": 1},
        )

        async def run():
            channel = await layer.new_channel()
            for group in ("chat", "news", "sport"):
                await layer.group_add(group, channel)
            receiving = asyncio.ensure_future(layer.receive(channel))
            await until(lambda: waits(layer, channel))
            cluster.kill(cluster.nodes[0])
            assert await asyncio.wait_for(receiving, 20) == {"type": "redis.away"}
            receiving = asyncio.ensure_future(layer.receive(channel))
            cluster.nodes[0].start()
            assert await asyncio.wait_for(receiving, 20) == {"type": "redis.back"}
            for group in ("chat", "news", "sport"):
                assert await layer.group_send(group, {"type": group}) == 0
                assert await asyncio.wait_for(layer.receive(channel), 20) == {"type": group}

        asyncio.run(run())
        asyncio.run(layer.close())
