"""The extensions "statistics" and "flush" of ASGI 1.x."""

from __future__ import annotations

import time

import pytest

from asgi_redis.conformance.suite import KINDS, Layer, MakeLayer, Suite, drain, send_all, wait_until


class StatisticsTests(Suite):
    """Tests of counters, of the messages that wait, and of their removal."""

    def test_the_extensions_are_a_list_of_names(self, layer: Layer) -> None:
        """ASGI: ``extensions``."""
        assert isinstance(layer.extensions, list)
        assert all(isinstance(name, str) for name in layer.extensions)

    def test_a_channel_counts_the_messages_that_were_sent_and_refused(self, layer_for: MakeLayer) -> None:
        """ASGI: ``channel_statistics``."""
        layer = layer_for(capacity=3)
        self.needs_extension(layer, "statistics")
        send_all(layer, "a", range(3))
        for _ in range(2):
            with pytest.raises(layer.ChannelFull):
                layer.send("a", {})
        layer.receive(["a"])
        layer.send("b", {})
        statistics = layer.channel_statistics("a")
        age = statistics.pop("messages_max_age")
        expected = {"messages_count": 3, "channel_full_count": 2, "messages_pending": 2}
        assert {name: statistics[name] for name in expected} == expected
        assert 0 <= age < 10
        total = layer.global_statistics()
        assert (total["messages_count"], total["channel_full_count"]) == (4, 2)

    def test_an_unknown_channel_has_zeros(self, layer: Layer) -> None:
        self.needs_extension(layer, "statistics")
        expected = {"messages_count", "messages_pending", "messages_max_age", "channel_full_count"}
        statistics = layer.channel_statistics("unknown")
        assert expected <= statistics.keys()
        assert not any(statistics.values())

    def test_the_local_names_of_a_process_are_counted_together(self, layer: Layer) -> None:
        """They share one queue."""
        self.needs_extension(layer, "statistics")
        layer.send("own!a", {})
        layer.send("own!b", {})
        for name in ("own!", "own!a", "own!c"):
            assert layer.channel_statistics(name)["messages_pending"] == 2
            assert layer.channel_statistics(name)["messages_count"] == 2

    def test_a_message_to_a_group_counts_for_each_channel(self, layer_for: MakeLayer) -> None:
        layer = layer_for(capacity=1)
        self.needs_extension(layer, "statistics")
        self.needs_extension(layer, "groups")
        for channel in ("a", "full"):
            layer.group_add("g", channel)
        layer.send("full", {})
        layer.send_group("g", {})
        counts = [layer.channel_statistics(name) for name in ("a", "full")]
        assert [(count["messages_count"], count["channel_full_count"]) for count in counts] == [(1, 0), (1, 1)]

    def test_the_age_is_that_of_the_oldest_message_that_has_not_expired(self, layer_for: MakeLayer) -> None:
        """``messages_max_age`` is in seconds."""
        expiry = 8 * self.resolution
        layer = layer_for(expiry=expiry)
        self.needs_extension(layer, "statistics")
        began = time.monotonic()
        send_all(layer, "reply?a", range(3))
        sent = time.monotonic()
        wait_until(sent + expiry / 2)
        later = time.monotonic()
        layer.send("reply?a", {"n": 3})
        age = layer.channel_statistics("reply?a")["messages_max_age"]
        # The layer's clock need not be this one.
        assert expiry / 2 - self.resolution < age < expiry or not self.is_before(began + expiry)
        wait_until(time.monotonic() + expiry / 2 + self.resolution)
        statistics = layer.channel_statistics("reply?a")
        if self.is_before(later + expiry):
            assert statistics["messages_pending"] == 1
            assert statistics["messages_max_age"] < age + expiry / 2
        assert statistics["messages_count"] == 4

    def test_flush_removes_messages_groups_and_counters(self, layer_for: MakeLayer) -> None:
        """ASGI: the extension "flush" removes them; full channels have room again."""
        layer = layer_for(capacity=1)
        self.needs_extension(layer, "flush")
        for channel in KINDS:
            layer.send(channel, {"n": 1})
            if "groups" in layer.extensions:
                layer.group_add("g", channel)
        layer.flush()
        assert drain(layer, *KINDS.values()) == []
        if "groups" in layer.extensions:
            assert list(layer.group_channels("g")) == []
        if "statistics" in layer.extensions:
            assert layer.channel_statistics("a")["messages_count"] == 0
            total = layer.global_statistics()
            assert {"messages_count", "channel_full_count"} <= total.keys()
            assert not any(total.values())
        layer.send("a", {"n": 2})
        assert drain(layer, "a") == [2]
