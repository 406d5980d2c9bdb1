"""Expiry of messages: ASGI 1.x, "Delivery Guarantees"; that it is exact is a promise of this project."""

from __future__ import annotations

import time

import pytest

from asgi_redis.conformance.suite import MakeLayer, Suite, drain, send_all, until


class ExpiryTests(Suite):
    """A message is handed out until it expires, and never later; ``expiry`` may be a fraction of a second."""

    @pytest.mark.parametrize(("channel", "read"), [("a", "a"), ("own!a", "own!"), ("reply?a", "reply?a")])
    def test_a_message_is_there_until_it_expires_and_then_gone(
        self, layer_for: MakeLayer, channel: str, read: str
    ) -> None:
        """To the fraction of a second."""
        expiry = 6 * self.resolution
        layer = layer_for(expiry=expiry)
        layer.send(channel, {"n": 0})
        began = time.monotonic()
        layer.send(channel, {"n": 1})
        until(began + expiry - 2 * self.resolution)
        received = drain(layer, read)
        # On a machine that was held up, it is too late to say.
        if time.monotonic() < began + expiry - self.resolution:
            assert sorted(received) == [0, 1], f"lost before the {expiry:g} s were over"
        layer.send(channel, {"n": 2})
        until(time.monotonic() + expiry + self.resolution)
        assert layer.receive([read]) == (None, None), f"handed out after more than {expiry:g} s"

    def test_each_message_has_its_own_age(self, layer_for: MakeLayer) -> None:
        """A busy channel does not keep its old messages alive, and they take no newer one with them."""
        for patience in (6, 12, 24, 48):
            expiry = patience * self.resolution
            layer = layer_for(expiry=expiry)
            layer.send("reply?a", {"n": 1})
            sent = time.monotonic()
            until(sent + expiry / 2)
            second = time.monotonic()
            layer.send("reply?a", {"n": 2})
            until(sent + expiry + self.resolution)
            received = drain(layer, "reply?a")
            # On a machine that was held up, it is too late to say.
            if time.monotonic() < second + expiry - self.resolution:
                break
        assert received == [2]

    def test_many_expired_messages_hide_none_behind_them(self, layer_for: MakeLayer) -> None:
        """One call finds it."""
        expiry = 6 * self.resolution
        layer = layer_for(expiry=expiry, capacity=1000)
        send_all(layer, "own!a", range(300))
        until(time.monotonic() + expiry + self.resolution)
        layer.send("own!b", {"n": 1})
        assert layer.receive(["own!"]) == ("own!b", {"n": 1})
        assert layer.receive(["own!"]) == (None, None)

    def test_what_expires_in_one_channel_leaves_another_readable(self, layer_for: MakeLayer) -> None:
        """Both are asked for in one call."""
        expiry = 6 * self.resolution
        layer = layer_for(expiry=expiry)
        layer.send("a", {"n": 1})
        until(time.monotonic() + expiry + self.resolution)
        layer.send("b", {"n": 2})
        assert drain(layer, "a", "b") == [2]

    def test_expiry_holds_for_batches(self, layer_for: MakeLayer) -> None:
        """As for single messages."""
        self.needs("receive_batch")
        expiry = 6 * self.resolution
        layer = layer_for(expiry=expiry)
        send_all(layer, "a", range(5))
        until(time.monotonic() + expiry + self.resolution)
        send_all(layer, "a", (5,))
        assert layer.receive_batch(["a"], 10) == [("a", {"n": 5})]

    def test_expiry_holds_for_what_a_group_got(self, layer_for: MakeLayer) -> None:
        """Also for the second of two members of one process."""
        expiry = 6 * self.resolution
        layer = layer_for(expiry=expiry)
        self.needs_extension(layer, "groups")
        layer.group_add("g", "own!a")
        layer.group_add("g", "own!b")
        layer.send_group("g", {"n": 1})
        assert layer.receive(["own!"])[1] == {"n": 1}
        until(time.monotonic() + expiry + self.resolution)
        assert layer.receive(["own!"]) == (None, None)
