"""Frames that were read and cannot be sent yet."""

from __future__ import annotations

import asyncio

import pytest

from asgi_redis import InMemoryChannelLayer
from asgi_redis.aio import AsyncChannelLayer
from asgi_redis.aio.pipelined import asynchronous
from asgi_redis.exceptions import ChannelFull
from asgi_redis.interface.gate import Gate
from asgi_redis.interface.read_ahead import Frame, ReadAhead
from asgi_redis.wire import Witness
from tests.support.waiting import eventually


def frame(number, size=1):
    return Frame({"order": number}, Witness("a", number), size)


def received(layer):
    """The orders of all frames that wait in the layer."""
    return [message["order"] for _, message in layer.receive_batch(["websocket.receive"], 1000)]


def on_full_channel(scenario, timeout=60.0):
    """Runs a coroutine function with a layer whose channel is full, and frames on the way to it."""

    async def run():
        layer = InMemoryChannelLayer(capacity=1)
        layer.send("websocket.receive", {"order": 0})
        failures = []
        gate = Gate(asynchronous(layer), timeout, timeout)
        await scenario(layer, ReadAhead(gate, lambda *failure: failures.append(failure)))
        return failures

    return asyncio.run(run())


def test_frames_are_sent_in_order_until_none_waits():
    async def scenario(layer, frames):
        for number in range(1, 11):
            await frames.add(frame(number))
        taken = []
        while frames.sender is not None:
            taken += received(layer)
            await asyncio.sleep(0)
        assert taken + received(layer) == list(range(11))
        assert frames.cancel() is None

    assert on_full_channel(scenario) == []


def test_reading_stops_behind_64_frames_or_64_kib():
    async def scenario(layer, frames):
        for number in range(1, 64):
            await asyncio.wait_for(frames.add(frame(number)), 10)
        stopped = asyncio.ensure_future(frames.add(frame(64)))
        await asyncio.sleep(0.05)
        assert not stopped.done()
        while not stopped.done():
            received(layer)
            await asyncio.sleep(0)
        frames.cancel()

    on_full_channel(scenario)

    async def large(layer, frames):
        await frames.add(frame(1, size=40_000))
        stopped = asyncio.ensure_future(frames.add(frame(2, size=40_000)))
        await asyncio.sleep(0.05)
        assert not stopped.done()
        frames.cancel()
        stopped.cancel()

    on_full_channel(large)


def test_a_frame_that_fails_ends_those_behind_it_and_lets_reading_go_on():
    async def scenario(layer, frames):
        for number in range(1, 65):
            await frames.add(frame(number))
        assert frames.cancel() is None

    ((failed, error),) = on_full_channel(scenario, timeout=0.05)
    assert failed.message == {"order": 1}
    assert isinstance(error, ChannelFull)


def test_cancel_tells_which_frame_was_the_first_that_may_be_unsent():
    async def scenario(layer, frames):
        for number in range(1, 4):
            await frames.add(frame(number))
        assert received(layer) == [0]
        pending = lambda: layer.channel_statistics("websocket.receive")["messages_pending"]  # noqa: E731
        await asyncio.get_running_loop().run_in_executor(None, eventually, pending)
        assert frames.cancel().message["order"] == 2

    assert on_full_channel(scenario) == []


def test_a_frame_whose_sending_is_cancelled_may_be_unsent():
    async def scenario():
        class SilentLayer(AsyncChannelLayer):
            async def send(self, channel, message):
                await asyncio.Event().wait()

        with InMemoryChannelLayer() as layer:
            frames = ReadAhead(Gate(SilentLayer(layer), 60, 60), lambda frame, error: None)
            reading = asyncio.ensure_future(frames.add(frame(1)))
            await asyncio.sleep(0)
            reading.cancel()
            await asyncio.wait([reading])
            return frames.cancel().message

    assert asyncio.run(scenario()) == {"order": 1}


@pytest.mark.parametrize("steps", range(4))
def test_no_other_frame_follows_after_cancel(steps):
    async def scenario():
        layer = InMemoryChannelLayer(capacity=5)
        for _ in range(5):
            layer.send("websocket.receive", {"order": 0})
        gate = Gate(asynchronous(layer), 60, 60)
        first_in_line = asyncio.ensure_future(gate.send("websocket.receive", {"order": 0}))
        await asyncio.sleep(0.005)
        frames = ReadAhead(gate, lambda frame, error: None)
        for number in range(1, 4):
            await frames.add(frame(number))
        await asyncio.sleep(0.001)
        layer.flush()
        await first_in_line
        for _ in range(steps):  # in one of them the frame's turn has just come
            await asyncio.sleep(0)
        received(layer)
        first = frames.cancel()
        await asyncio.sleep(0.05)
        assert len(received(layer)) <= (first is not None)

    asyncio.run(scenario())
