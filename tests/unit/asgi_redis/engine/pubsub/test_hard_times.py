"""Bursts, loops that are closed under their coroutines, a collector that comes at a bad moment."""

from __future__ import annotations

import asyncio
import gc
import logging
import threading

import pytest

from tests.support.pubsub.loops import HELLO, run, until, waits
from tests.support.pubsub.subscribers import outages, subscribed
from tests.support.waiting import eventually

pytestmark = pytest.mark.native("event loops in native threads")


@pytest.fixture
def layer(aio_for, redis_server):
    return aio_for(redis_server, capacity=10)


@pytest.fixture
def brief(aio_for, redis_server):
    """A layer that forgets within seconds."""
    return aio_for(redis_server, expiry=1)


async def burst(layer, number):
    """Returns a channel with as many messages, and a receive that has not run since."""
    channel = await layer.new_channel()
    waiting = asyncio.ensure_future(layer.receive(channel))
    await until(lambda: waits(layer, channel))
    for n in range(number):
        layer.layer.send(channel, {"n": n})
    return channel, waiting


def test_a_burst_is_kept_for_one_who_reads(layer):
    """It comes faster than any coroutine can take it."""

    async def main():
        channel, waiting = await burst(layer, 900)
        assert await waiting == {"n": 0}
        assert [(await layer.receive(channel))["n"] for _ in range(899)] == list(range(1, 900))
        assert layer.dropped_count == 0

    run(main())


def test_a_burst_has_an_end(layer):
    async def main():
        _, waiting = await burst(layer, 1100)
        eventually(lambda: layer.dropped_count == 100)
        assert await waiting == {"n": 100}

    run(main())


def test_several_who_are_cancelled_at_once_leave_the_order_as_it_was(layer):
    async def main():
        channel = await layer.new_channel()
        for _ in range(20):
            waiting = [asyncio.ensure_future(layer.receive(channel)) for _ in range(3)]
            await until(lambda: waits(layer, channel))
            for number in range(3):
                layer.layer.send(channel, {"n": number})
            inbox = layer.layer.subscriptions.inboxes[channel]
            await until(lambda: len(inbox.messages) == 3 or any(one.done() for one in waiting))  # noqa: B023
            for one in waiting:
                one.cancel()
            await asyncio.gather(*waiting, return_exceptions=True)
            received = sorted(one.result()["n"] for one in waiting if not one.cancelled())
            received += [(await layer.receive(channel))["n"] for _ in range(3 - len(received))]
            assert received == [0, 1, 2]

    run(main())


def test_a_channel_whose_loop_was_closed_is_forgotten(brief, redis_server, prefix):
    """With its memberships, and the loop with it."""

    async def main():
        channel = await brief.new_channel()
        await brief.group_add("chat", channel)
        waiting = asyncio.ensure_future(brief.receive(channel))
        await until(lambda: waits(brief, channel))
        return waiting

    loop = asyncio.new_event_loop()
    loop.run_until_complete(main())._log_destroy_pending = False
    loop.close()
    eventually(lambda: not subscribed(redis_server, prefix))
    assert not brief.layer.subscriptions.inboxes


def test_a_receive_that_is_cancelled_before_it_listens_is_forgotten_soon(brief, redis_server, prefix):
    async def main():
        waiting = asyncio.ensure_future(brief.receive(f"{prefix}.work"))
        await asyncio.sleep(0)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting

    run(main())
    assert brief.layer.subscriptions.inboxes
    eventually(lambda: not brief.layer.subscriptions.inboxes, timeout=5)


def test_one_who_leaves_a_group_in_the_middle_of_a_delivery_disturbs_nobody(layer, monkeypatch, caplog):
    """As a coroutine does that is collected as garbage in the listening thread."""
    caplog.set_level(logging.WARNING, "asgi_redis")

    async def main():
        channels = [await layer.new_channel() for _ in range(3)]
        for channel in channels:
            await layer.group_add("chat", channel)
        first = layer.layer.subscriptions.inboxes[channels[0]]
        deliver = type(first).deliver

        def deliver_and_leave(inbox, *arguments):
            layer.layer.group_discard("chat", channels[2])
            return deliver(inbox, *arguments)

        monkeypatch.setattr(type(first), "deliver", deliver_and_leave)
        await layer.group_send("chat", HELLO)
        assert await layer.receive(channels[0]) == HELLO
        assert await layer.receive(channels[1]) == HELLO

    run(main())
    gc.collect()
    assert outages(caplog) == []


def test_a_channel_for_which_no_thread_could_be_started_costs_only_itself(layer, monkeypatch):
    def fail(thread):
        monkeypatch.undo()
        raise RuntimeError("can't start new thread")

    async def main():
        monkeypatch.setattr(threading.Thread, "start", fail)
        with pytest.raises(RuntimeError, match="can't start"):
            await layer.new_channel()
        channel = await layer.new_channel()
        await layer.send(channel, HELLO)
        assert await layer.receive(channel) == HELLO
        await layer.close()

    run(main())
