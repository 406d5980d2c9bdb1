"""Order: first in, first out, and no channel starves."""

from __future__ import annotations

import pytest

from asgi_redis.conformance.suite import Layer, MakeLayer, Suite, Threads, drain, each_kind, send_all


class OrderTests(Suite):
    """Tests of promises of this project: ASGI 1.x allows any order."""

    @each_kind
    def test_first_in_first_out(self, layer_for: MakeLayer, channel: str, read: str) -> None:
        """Also for messages that are sent within the same microsecond."""
        if channel == "a":
            self.needs("in_one_place")
        layer = layer_for(capacity=300)
        send_all(layer, channel, range(300))
        assert drain(layer, read) == list(range(300)), "the order is not that of sending"

    def test_the_order_holds_among_the_local_names_of_a_process(self, layer: Layer) -> None:
        """They share one queue."""
        names = [f"own!{number % 3}" for number in range(30)]
        for name in names:
            layer.send(name, {})
        assert [layer.receive(["own!"])[0] for _ in names] == names

    def test_the_order_holds_when_sending_and_receiving_alternate(self, layer: Layer) -> None:
        received = []
        for number in range(0, 60, 2):
            send_all(layer, "reply?a", (number, number + 1))
            received.append(layer.receive(["reply?a"])[1]["n"])
        assert received + drain(layer, "reply?a") == list(range(60))

    def test_the_order_holds_for_messages_that_threads_send_one_after_the_other(self, layer: Layer) -> None:
        for number in range(20):
            with Threads() as threads:
                threads.start(layer.send, "reply?a", {"n": number})
        assert drain(layer, "reply?a") == list(range(20))

    def test_the_order_holds_in_batches(self, layer_for: MakeLayer) -> None:
        self.needs("receive_batch")
        layer = layer_for(capacity=300)
        send_all(layer, "own!a", range(300))
        received: list[int] = []
        while batch := layer.receive_batch(["own!", "other"], 7):
            received += [message["n"] for _, message in batch]
        assert received == list(range(300))

    @pytest.mark.parametrize("order", [["busy", "quiet"], ["quiet", "busy"]], ids=" before ".join)
    @pytest.mark.parametrize("block", [False, True], ids=["look", "block"])
    def test_a_busy_channel_does_not_starve_a_quiet_one(
        self, layer_for: MakeLayer, order: list[str], block: bool
    ) -> None:
        """ASGI asks not to prefer the first channel. Twenty calls are generous."""
        layer = layer_for(capacity=100)
        send_all(layer, "busy", range(100))
        for number in range(3):
            layer.send("quiet", {"n": number})
            received = [layer.receive(order, block=block)[0] for _ in range(20)]
            assert "quiet" in received, "20 messages came from the busy channel, and the quiet one's waits"

    def test_nor_do_many_busy_ones(self, layer: Layer) -> None:
        busy = [f"busy.{number}" for number in range(9)]
        for channel in busy:
            send_all(layer, channel, range(25))
        layer.send("quiet", {"n": 0})
        assert "quiet" in [layer.receive([*busy, "quiet"])[0] for _ in range(200)]

    def test_a_batch_takes_one_message_of_each_channel_in_turn(self, layer: Layer) -> None:
        self.needs("receive_batch")
        self.needs("in_one_place")
        channels = ["a?x", "b?x", "c?x"]
        for channel in channels:
            send_all(layer, channel, range(20))
        batch = layer.receive_batch(channels, 6)
        assert sorted((channel, message["n"]) for channel, message in batch) == [
            (channel, number) for channel in channels for number in (0, 1)
        ]

    def test_a_batch_takes_no_more_than_its_limit(self, layer: Layer) -> None:
        self.needs("receive_batch")
        assert layer.receive_batch(["a"], 3) == []
        send_all(layer, "a", range(5))
        taken = [message["n"] for _, message in layer.receive_batch(["a"], 3)]
        rest = [message["n"] for _, message in layer.receive_batch(["a"], 3)]
        assert (len(taken), len(rest)) == (3, 2)
        assert sorted(taken + rest) == list(range(5))
        with pytest.raises(ValueError, match="limit"):
            layer.receive_batch(["a"], 0)
