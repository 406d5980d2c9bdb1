"""With many channels to read, a busy one never starves a quiet one."""

from __future__ import annotations

import pytest

from tests.support.reading import one, one_blocking


class TestFairness:
    # Were the order drawn by lot, one in a million runs would take longer.
    SOON = 20

    @pytest.mark.parametrize("order", [["busy", "quiet"], ["quiet", "busy"]])
    @pytest.mark.parametrize("read", [one, one_blocking])
    def test_a_busy_channel_does_not_starve_a_quiet_one(self, layer_for, redis_server, order, read):
        layer = layer_for(redis_server, capacity=1_000)
        for _ in range(1_000):
            layer.send("busy", {})
        for _ in range(5):
            layer.send("quiet", {})
            received = [read(layer, order)[0] for _ in range(self.SOON)]
            assert "quiet" in received

    def test_nor_in_batches(self, layer_for, redis_server):
        layer = layer_for(redis_server, capacity=1_000)
        for _ in range(1_000):
            layer.send("busy", {})
        layer.send("quiet", {})
        received = [name for _ in range(self.SOON) for name, _ in layer.receive_batch(["busy", "quiet"], 5)]
        assert "quiet" in received

    def test_nor_do_many_busy_ones(self, layer_for, redis_server):
        layer = layer_for(redis_server, capacity=1_000)
        busy = [f"busy.{number}" for number in range(9)]
        for name in busy:
            for _ in range(200):
                layer.send(name, {})
        layer.send("quiet", {})
        received = [layer.receive([*busy, "quiet"])[0] for _ in range(200)]
        assert "quiet" in received

    @pytest.mark.parametrize("read", [one, one_blocking])
    def test_nor_does_one_that_is_busy_on_two_shards(self, layer_for, three_redis_servers, read):
        servers = three_redis_servers[:2]
        layer = layer_for(*servers, capacity=1_000)
        for _ in range(200):
            layer.send("busy", {})
        for server in servers:
            for order in (["busy", "quiet"], ["quiet", "busy"]):
                layer_for(server).send("quiet", {})
                assert "quiet" in [read(layer, order)[0] for _ in range(self.SOON)]

    def test_nor_one_shard_the_others(self, layer_for, three_redis_servers):
        layer = layer_for(*three_redis_servers, capacity=1_000)
        busy, quiet = layer_for(three_redis_servers[0], capacity=1_000), layer_for(three_redis_servers[2])
        for _ in range(600):
            busy.send("work", {"from": "busy"})
        for read in (one, one_blocking):
            quiet.send("work", {"from": "quiet"})
            received = [read(layer, ["work"])[1]["from"] for _ in range(50)]
            assert "quiet" in received
