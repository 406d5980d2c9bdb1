"""Delayed messages: all wait in Redis, and those for normal channels come on this machine."""

from __future__ import annotations

import pytest

from asgi_redis import InMemoryChannelLayer
from asgi_redis.engine import delayed
from tests.support.threads import in_threads


def test_a_message_for_a_normal_channel_comes_here_and_the_others_on_redis(layer, redis_layer):
    for channel in ("normal", "mine!1", "single?reader"):
        layer.delayed.send(channel, {"to": channel}, 0)
    assert layer.delayed.deliver() is None
    assert redis_layer.receive(["normal"]) == (None, None)
    assert redis_layer.receive(["mine!"]) == ("mine!1", {"to": "mine!1"})
    assert redis_layer.receive(["single?reader"]) == ("single?reader", {"to": "single?reader"})
    assert layer.receive(["normal"]) == ("normal", {"to": "normal"})
    assert layer.receive(["normal", "mine!", "single?reader"]) == (None, None)


def test_for_a_full_channel_it_stays_until_there_is_room(local_layer_for, monkeypatch):
    monkeypatch.setattr(delayed, "RETRY_SECONDS", 0)
    layer = local_layer_for(capacity=1)
    layer.send("normal", {"n": 1})
    layer.delayed.send("normal", {"n": 2}, 0)
    assert layer.delayed.deliver() is not None
    assert layer.receive(["normal"]) == ("normal", {"n": 1})
    layer.delayed.deliver()
    assert layer.receive(["normal"]) == ("normal", {"n": 2})
    assert layer.delayed.deliver() is None


def test_many_who_deliver_at_a_time_deliver_once(local_layer_for):
    layer = local_layer_for(capacity=100)
    for n in range(50):
        layer.delayed.send("normal", {"n": n}, 0)
    in_threads(lambda _: layer.delayed.deliver(), range(4))
    received = [message["n"] for _, message in layer.receive_batch(["normal"], 100)]
    assert sorted(received) == list(range(50))


def test_one_that_is_too_large_here_is_dropped_and_told(local_layer_for, caplog):
    layer = local_layer_for(local_layer=InMemoryChannelLayer(max_message_bytes=100))
    layer.delayed.send("normal", {"data": "x" * 200}, 0)
    layer.delayed.send("normal", {"n": 1}, 0)
    assert layer.delayed.deliver() is None
    assert layer.delayed.undecodable_count == 1
    assert "Dropped a delayed message on channel 'normal' that cannot be read or sent" in caplog.text
    assert layer.receive(["normal"]) == ("normal", {"n": 1})


def test_one_that_cannot_be_put_into_its_channel_now_is_tried_again(local_layer_for, monkeypatch):
    monkeypatch.setattr(delayed, "RETRY_SECONDS", 0)
    layer = local_layer_for()
    layer.delayed.send("normal", {"n": 1}, 0)
    with monkeypatch.context() as patch:
        patch.setattr(layer.local_layer.store, "push", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            layer.delayed.deliver()
    layer.delayed.deliver()
    assert layer.receive(["normal"]) == ("normal", {"n": 1})
