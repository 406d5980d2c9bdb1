"""Expiry of messages. ASGI 1.x has it; that it is exact is this project's promise."""

from __future__ import annotations

import time

from asgi_redis.conformance.suite import MakeLayer, Suite, drain, each_kind, send_all, wait_until


class ExpiryTests(Suite):
    """Tests of ``expiry``, which may be a fraction of a second."""

    @each_kind
    def test_a_message_is_there_until_it_expires_and_then_gone(
        self, layer_for: MakeLayer, channel: str, read: str
    ) -> None:
        expiry = 6 * self.resolution
        layer = layer_for(expiry=expiry)
        layer.send(channel, {"n": 0})
        began = time.monotonic()
        layer.send(channel, {"n": 1})
        wait_until(began + expiry - 2 * self.resolution)
        received = drain(layer, read)
        if self.is_before(began + expiry):
            assert sorted(received) == [0, 1], f"lost before the {expiry:g} s were over"
        layer.send(channel, {"n": 2})
        wait_until(time.monotonic() + expiry + self.resolution)
        assert layer.receive([read]) == (None, None), f"handed out after more than {expiry:g} s"

    def test_each_message_has_its_own_age(self, layer_for: MakeLayer) -> None:
        """Old messages of a busy channel expire, and newer ones stay."""
        for number in (6, 12, 24, 48):
            expiry = number * self.resolution
            layer = layer_for(expiry=expiry)
            layer.send("reply?a", {"n": 1})
            sent = time.monotonic()
            wait_until(sent + expiry / 2)
            second = time.monotonic()
            layer.send("reply?a", {"n": 2})
            wait_until(sent + expiry + self.resolution)
            received = drain(layer, "reply?a")
            if self.is_before(second + expiry):
                break
        assert received == [2]

    def test_many_expired_messages_hide_none_behind_them(self, layer_for: MakeLayer) -> None:
        """One call finds the message."""
        layer = layer_for(expiry=6 * self.resolution, capacity=1000)
        send_all(layer, "own!a", range(300))
        wait_until(time.monotonic() + layer.expiry + self.resolution)
        layer.send("own!b", {"n": 1})
        assert layer.receive(["own!"]) == ("own!b", {"n": 1})
        assert layer.receive(["own!"]) == (None, None)

    def test_expired_messages_of_one_channel_leave_another_readable(self, layer_for: MakeLayer) -> None:
        layer = layer_for(expiry=6 * self.resolution)
        layer.send("a", {"n": 1})
        wait_until(time.monotonic() + layer.expiry + self.resolution)
        layer.send("b", {"n": 2})
        assert drain(layer, "a", "b") == [2]

    def test_expiry_holds_for_batches(self, layer_for: MakeLayer) -> None:
        self.needs("receive_batch")
        layer = layer_for(expiry=6 * self.resolution)
        send_all(layer, "a", range(5))
        wait_until(time.monotonic() + layer.expiry + self.resolution)
        send_all(layer, "a", (5,))
        assert layer.receive_batch(["a"], 10) == [("a", {"n": 5})]

    def test_expiry_holds_for_messages_to_a_group(self, layer_for: MakeLayer) -> None:
        """That includes the second of two members of one process."""
        layer = layer_for(expiry=6 * self.resolution)
        self.needs_extension(layer, "groups")
        layer.group_add("g", "own!a")
        layer.group_add("g", "own!b")
        layer.send_group("g", {"n": 1})
        assert layer.receive(["own!"])[1] == {"n": 1}
        wait_until(time.monotonic() + layer.expiry + self.resolution)
        assert layer.receive(["own!"]) == (None, None)
