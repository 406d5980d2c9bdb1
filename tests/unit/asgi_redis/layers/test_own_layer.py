"""A layer of somebody's own, by the contract alone: the example of ``docs/howto/own_layer.rst``, and the defaults."""

from __future__ import annotations

import threading
import time

import pytest

from asgi_redis.conformance import ChannelLayerConformance
from asgi_redis.exceptions import UnsupportedExtension
from asgi_redis.layers.base import BaseChannelLayer
from examples.toy_layer import ToyChannelLayer
from workers import Worker, route


class TestToyLayer(ChannelLayerConformance):
    @pytest.fixture
    def make_layer(self):
        return ToyChannelLayer


def test_a_worker_serves_it() -> None:
    layer = ToyChannelLayer()
    received: list[str] = []

    def consumer(message) -> None:
        received.append(message["n"])
        message.reply_channel.send({"n": message["n"] + 1})

    worker = Worker(layer, [route("work", consumer)], limits=[("work", 1)], burst=True)
    reply = layer.new_channel("reply?")
    for number in range(3):
        layer.send("work", {"n": number, "reply_channel": reply})
    assert worker.run() == 0
    assert received == [0, 1, 2]
    assert [message["n"] for _, message in layer.receive_batch([reply], 10)] == [1, 2, 3]


def test_the_base_cannot_be_made_without_the_calls_that_a_layer_has_to_write() -> None:
    with pytest.raises(TypeError, match=r"receive_batch\W+send\W+unblock"):
        BaseChannelLayer()


@pytest.mark.parametrize("call", ["flush", "global_statistics"])
def test_a_call_of_an_extension_that_the_layer_does_not_have_says_so(call: str) -> None:
    with pytest.raises(UnsupportedExtension, match="ToyChannelLayer does not have the extension"):
        getattr(ToyChannelLayer(), call)()


def test_a_message_that_is_requeued_comes_again() -> None:
    layer = ToyChannelLayer()
    layer.requeue("a", {"n": 1})
    assert layer.receive(["a"]) == ("a", {"n": 1})


class TestItsReader:
    def test_it_serves_channels_with_limits_in_turn(self) -> None:
        layer = ToyChannelLayer()
        reader = layer.reader()
        for channel in ("a", "b", "c"):
            for number in range(9):
                layer.send(channel, {"n": number})
        limits = {"a": 1, "b": 1}
        taken = [reader.receive_batch(["a", "b", "c"], 1, 0, limits) for _ in range(3)]
        assert {channel for batch in taken for channel, _ in batch} == {"a", "b", "c"}
        assert reader.receive_batch(["a", "b"], 9, 0, {"a": 0, "b": 0}) == []

    def test_an_unblock_from_another_thread_ends_a_wait(self) -> None:
        reader = ToyChannelLayer().reader()
        assert reader.receive_batch(["a"], 1, 20) == []
        assert (reader.serving, reader.complete, reader.down, reader.error) == (True, True, False, None)
        threading.Timer(0.05, reader.unblock).start()
        began = time.monotonic()
        assert reader.receive_batch(["a"], 1, 20) == []
        assert time.monotonic() - began < 5
        reader.retry()
        reader.close()
        assert reader.settle(time.monotonic())
