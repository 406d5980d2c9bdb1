"""Nothing lingers: every key has a TTL."""

from __future__ import annotations

import contextlib
import time

import pytest
import redis

from tests.support.waiting import eventually


class TestNothingLingers:
    @pytest.mark.parametrize("shards", [1, 3])
    def test_every_key_has_a_ttl(self, layer_for, three_redis_servers, prefix, shards):
        servers = three_redis_servers[:shards]
        layer = layer_for(*servers, capacity=2, stats_prefix=f"{prefix}-stats:")
        layer.group_add("chat", "member")
        layer.group_add("chat", "specific.x!member")
        layer.group_add("chat", "gone")
        layer.group_discard("chat", "gone")
        layer.group_discard("nobody", "gone")
        for channel in ("work", "specific.x!y", layer.new_channel("reply?")):
            for _ in range(2 * shards + 1):
                with contextlib.suppress(layer.ChannelFull):
                    layer.send(channel, {})
        for _ in range(4):
            layer.send_group("chat", {})
            layer.receive(["work", "specific.x!"])
            layer.receive(["work", "member"], block=True)
        layer.receive_batch(["work", "specific.x!"], 3)
        layer.channel_statistics("work")
        layer.global_statistics()
        found = 0
        for server in servers:
            with redis.Redis.from_url(server.unix_url, protocol=2) as client:
                keys = list(client.scan_iter(f"{prefix}*"))
                found += len(keys)
                assert [key for key in keys if client.ttl(key) < 0] == []
        assert found > 3

    def test_queues_are_gone_after_expiry_and_groups_after_group_expiry(self, layer_for, redis_server, prefix):
        layer = layer_for(redis_server, expiry=0.2, group_expiry=0.2, stats_prefix=f"stats-of-{prefix}:")
        layer.group_add("chat", "member")
        layer.send("work", {})
        layer.send_group("chat", {})
        with redis.Redis.from_url(redis_server.unix_url, protocol=2) as client:
            # The wire format's TTLs may be rounded up to whole seconds.
            eventually(lambda: not list(client.scan_iter(f"{prefix}*")), timeout=5, interval=0.05)

    def test_counters_have_a_ttl_though_others_filled_the_queue_first(self, layer_for, redis_server, prefix):
        layer = layer_for(redis_server)
        with redis.Redis.from_url(redis_server.unix_url, protocol=2) as client:
            client.zadd(f"{prefix}work", {b"x" * 12 + b"\x80": time.time()})
            for _ in range(40):
                layer.send("work", {})
                assert client.ttl(f"{prefix}-meta:work") > 0
                assert client.ttl(f"{prefix}-meta:#global#") > 0
