"""How often a call crosses the network."""

from __future__ import annotations

import pytest


class TestRoundTrips:
    """Counted on the wire, not computed."""

    @pytest.fixture
    def layer(self, layer_for, proxy):
        layer = layer_for(proxy.url)
        # Once each, to connect and to load the scripts.
        layer.group_add("chat", "warm")
        layer.send_group("chat", {})
        layer.group_count("chat")
        layer.receive(["warm"])
        layer.group_discard("chat", "warm")
        layer.send("warm", {})
        layer.receive(["warm"])
        layer.receive_batch(["warm"], 1)
        proxy.reset_counters()
        return layer

    @pytest.mark.parametrize(
        ("call", "args", "most"),
        [
            ("send", ("work", {}), 1),
            ("send", ("specific.x!y", {}), 1),
            ("receive", (["work", "idle", "other!"],), 1),
            ("receive_batch", (["work", "idle"], 10), 1),
            ("group_add", ("chat", "member"), 1),
            ("group_discard", ("chat", "member"), 1),
            ("send_group", ("nobody", {}), 2),
            ("send_group", ("nobody", {}, ["excluded"]), 2),
            ("group_count", ("chat",), 1),
        ],
    )
    def test_a_call_takes_no_more_than_its_round_trips(self, layer, proxy, call, args, most):
        getattr(layer, call)(*args)
        assert 0 < proxy.round_trips <= most
        assert proxy.connections == 0

    def test_a_group_send_to_many_takes_two(self, layer, proxy):
        for member in range(50):
            layer.group_add("chat", f"specific.{member}!x")
        proxy.reset_counters()
        layer.send_group("chat", {"payload": "x" * 1000})
        assert 0 < proxy.round_trips <= 2

    def test_a_group_send_to_the_same_few_members_takes_one_once_it_is_known(self, layer, proxy):
        for channel in ("work", "p!a", "p!b"):
            layer.group_add("chat", channel)
        for most in (2, 2, 2, 1, 1):  # the third makes a script known to Redis
            proxy.reset_counters()
            assert layer.send_group("chat", {}) == 0
            assert 0 < proxy.round_trips <= most
        proxy.reset_counters()
        layer.send_group("chat", {}, exclude=["work"])
        assert proxy.round_trips == 2

    def test_a_group_sends_payload_crosses_the_line_once_for_each_mebibyte_of_entries(self, layer, proxy):
        for member in range(50):
            layer.group_add("chat", f"specific.{member}!x")
        proxy.reset_counters()
        layer.send_group("chat", {"payload": "x" * 15_000})
        assert proxy.bytes_to_server < 35_000
        proxy.reset_counters()
        layer.send_group("chat", {"payload": "x" * 100_000})  # 5 MB: in one script they would hold up Redis too long
        assert proxy.bytes_to_server < 900_000
