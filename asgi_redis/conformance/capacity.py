"""Capacity. ASGI 1.x has it; that it is exact is this project's promise."""

from __future__ import annotations

import re
import time

import pytest

from asgi_redis.conformance.suite import (
    MakeLayer,
    Suite,
    Threads,
    drain,
    each_kind,
    send_all,
    send_until_full,
    wait_until,
)


class CapacityTests(Suite):
    """Tests that a channel takes as many messages as its capacity, and not one more."""

    @pytest.mark.parametrize("capacity", [1, 2, 5])
    @each_kind
    def test_a_channel_takes_exactly_its_capacity(
        self, layer_for: MakeLayer, channel: str, read: str, capacity: int
    ) -> None:
        """ASGI: ``ChannelFull``. The messages that are there stay, in their order."""
        layer = layer_for(capacity=capacity)
        for _ in range(2):
            send_all(layer, channel, range(capacity))
            for _ in range(3):
                with pytest.raises(layer.ChannelFull):
                    layer.send(channel, {"n": -1})
            assert sorted(drain(layer, read)) == list(range(capacity)), "it holds something else than was accepted"

    def test_each_message_that_is_received_makes_room_for_one(self, layer_for: MakeLayer) -> None:
        layer = layer_for(capacity=3)
        send_all(layer, "a", range(3))
        for number in range(3, 20):
            layer.receive(["a"])
            layer.send("a", {"n": number})
            with pytest.raises(layer.ChannelFull):
                layer.send("a", {"n": -1})

    def test_the_local_names_of_a_process_share_a_capacity(self, layer_for: MakeLayer) -> None:
        """ASGI: the capacity is that of the part up to the ``!``, which one process reads."""
        layer = layer_for(capacity=3)
        for number in range(3):
            layer.send(f"own!{number}", {})
        with pytest.raises(layer.ChannelFull):
            layer.send("own!another", {})
        layer.send("other!0", {})

    def test_a_full_channel_leaves_the_others_alone(self, layer_for: MakeLayer) -> None:
        layer = layer_for(capacity=1)
        for channel in ("a", "b", "a.b", "a?b", "a!b"):
            layer.send(channel, {})
            with pytest.raises(layer.ChannelFull):
                layer.send(channel, {})

    def test_channels_have_the_capacity_of_the_first_pattern_that_matches(self, layer_for: MakeLayer) -> None:
        """Globs and compiled patterns, as in channels_redis and asgi_redis 1."""
        layer = layer_for(
            capacity=1, channel_capacity={"http.request": 4, "http.*": 3, re.compile(r"own\..+!"): 2, "*": 5}
        )
        capacities = {"http.request": 4, "http.other": 3, "own.x!y": 2, "else": 5}
        assert {channel: layer.get_capacity(channel) for channel in capacities} == capacities
        for channel, capacity in capacities.items():
            send_all(layer, channel, range(capacity))
            with pytest.raises(layer.ChannelFull):
                layer.send(channel, {})

    def test_expired_messages_do_not_count(self, layer_for: MakeLayer) -> None:
        """That holds for a few of them, and with no receive in between."""
        for number in (10, 20, 40):
            expiry = number * self.resolution
            layer = layer_for(capacity=3, expiry=expiry)
            began = time.monotonic()
            send_all(layer, "reply?a", (1, 2))
            sent = time.monotonic()
            wait_until(sent + expiry / 2)
            third = time.monotonic()
            taken = send_until_full(layer, "reply?a", (3, -1))
            was_in_time = self.is_before(began + expiry)
            wait_until(sent + expiry + 2 * self.resolution)
            taken += send_until_full(layer, "reply?a", (4, 5, -2))
            received = drain(layer, "reply?a")
            if was_in_time and self.is_before(third + expiry):
                break
        assert taken == [3, 4, 5], "messages that have expired still count against the capacity, or no message does"
        assert received == [3, 4, 5]

    def test_threads_that_fill_a_channel_fill_it_exactly(self, layer_for: MakeLayer) -> None:
        """Counting and adding are one step."""
        layer = layer_for(capacity=50)
        sent: list[int] = []
        with Threads() as threads:
            for first in range(0, 120, 30):
                numbers = range(first, first + 30)
                threads.start(lambda numbers=numbers: sent.extend(send_until_full(layer, "a", numbers)))
        assert len(sent) == 50
        assert sorted(drain(layer, "a")) == sorted(sent)

    def test_a_group_send_never_raises_and_returns_how_many_were_full(self, layer_for: MakeLayer) -> None:
        """ASGI: a full channel drops the message. The number is this project's."""
        layer = layer_for(capacity=1)
        self.needs_extension(layer, "groups")
        for channel in ("a", "full", "own!a", "reply?full"):
            layer.group_add("g", channel)
        send_all(layer, "full", [0])
        send_all(layer, "reply?full", [0])
        assert layer.send_group("g", {"n": 1}) == 2
        assert layer.send_group("g", {"n": 2}) == 4
        received = {read: drain(layer, read) for read in ("a", "full", "own!", "reply?full")}
        assert received == {"a": [1], "full": [0], "own!": [1], "reply?full": [0]}

    def test_the_options_can_be_read(self, layer_for: MakeLayer) -> None:
        """ASGI's base layer has the attributes."""
        layer = layer_for(capacity=7, expiry=8.5)
        assert (layer.capacity, layer.expiry, layer.get_capacity("a")) == (7, 8.5, 7)
