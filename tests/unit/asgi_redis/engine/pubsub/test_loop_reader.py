"""An event loop reads its messages itself where it alone waits for them, and the listening threads read otherwise."""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time

import pytest

from asgi_redis.aio import loop_reader, pubsub
from asgi_redis.engine.pubsub import listener
from asgi_redis.engine.pubsub.subscription import Inbox
from tests.support.descriptors import open_descriptors
from tests.support.pubsub.loops import HELLO, run, until, waits
from tests.support.pubsub.subscribers import kill_listeners
from tests.support.waiting import eventually

pytestmark = pytest.mark.native("event loops in native threads")


@pytest.fixture
def layer(aio_for, redis_server):
    return aio_for(redis_server)


@pytest.fixture
def deliverers(monkeypatch):
    """The threads that have delivered a message, in order."""
    threads = []
    deliver = Inbox.deliver

    def note(inbox, *arguments):
        threads.append(threading.current_thread())
        return deliver(inbox, *arguments)

    monkeypatch.setattr(Inbox, "deliver", note)
    return threads


@pytest.fixture
def patient(monkeypatch):
    """No listening thread looks for what a busy loop has left unread."""
    for name in ("_BUSY_LOOP_SECONDS", "_CHECK_SECONDS"):
        monkeypatch.setattr(listener, name, 60.0)


async def exchange(layer, channel):
    waiting = asyncio.ensure_future(layer.receive(channel))
    await until(lambda: waits(layer, channel))
    await layer.send(channel, HELLO)
    assert await asyncio.wait_for(waiting, 5) == HELLO


@contextlib.contextmanager
def loop_in_thread():
    """Gives a loop that runs in a thread."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    try:
        yield loop
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


def test_a_loop_that_was_chosen_again_reads_by_one_descriptor(layer, patient):
    async def main():
        await exchange(layer, "specific.again")
        waiting = asyncio.ensure_future(layer.receive("specific.again"))
        await until(lambda: waits(layer, "specific.again"))
        before, readers = open_descriptors(), layer._subscriptions.readers
        for _ in range(10):
            with layer._subscriptions.lock:
                readers.share()
                readers.revise(is_shared=False)
            layer._offer_to_read(asyncio.get_running_loop())
            await asyncio.sleep(0)
        await until(lambda: len(open_descriptors()) <= len(before))
        await layer.send("specific.again", HELLO)
        assert await waiting == HELLO

    run(main())


def test_a_loop_needs_a_descriptor_more_or_else_the_thread(layer, deliverers, monkeypatch):
    def fail(number):
        raise OSError("Too many open files")

    monkeypatch.setattr(loop_reader, "Duplicate", fail)
    run(exchange(layer, "specific.none"))
    assert threading.main_thread() not in deliverers


def test_a_loop_reads_what_its_coroutines_wait_for(layer, deliverers, patient):
    async def main():
        channel = await layer.new_channel()
        await layer.group_add("chat", channel)
        for _ in range(3):
            await exchange(layer, channel)
        await layer.group_send("chat", HELLO)
        assert await layer.receive(channel) == HELLO
        assert layer._subscriptions.delivering_loop is None  # threads may not set its futures

    run(main())
    assert set(deliverers) == {threading.current_thread()}


def test_a_loop_reads_again_after_an_outage(aio_for, fresh_redis_server, deliverers, patient):
    layer = aio_for(fresh_redis_server)

    async def main():
        channel = await layer.new_channel()
        await exchange(layer, channel)
        inbox = layer.layer.subscriptions.inboxes[channel]
        for _ in range(3):
            await asyncio.to_thread(kill_listeners, fresh_redis_server)
            await until(lambda: not inbox.confirmed)
            await until(lambda: inbox.confirmed)
            await exchange(layer, channel)

    run(main())
    assert set(deliverers) == {threading.current_thread()}


def test_a_thread_does_not_wait_for_a_loop_that_is_busy(layer, patient):
    async def main():
        own, others = await layer.new_channel(), await layer.new_channel()
        await exchange(layer, own)
        waiting = asyncio.ensure_future(layer.receive(own))
        await until(lambda: waits(layer, own))
        received = []
        thread = threading.Thread(target=lambda: received.append(layer.layer.receive([others], block=True)))
        thread.start()
        eventually(lambda: layer.layer.subscriptions.inboxes[others].waiting)
        layer.layer.send(others, HELLO)
        eventually(lambda: received)  # the loop is busy with this
        thread.join()
        assert received == [(others, HELLO)]
        await layer.send(own, HELLO)
        assert await waiting == HELLO

    run(main())


def test_loops_do_not_wait_for_one_another_while_one_is_busy(layer, patient):
    async def main(other):
        own = await layer.new_channel()
        await exchange(layer, own)
        waiting = asyncio.ensure_future(layer.receive(own))
        await until(lambda: waits(layer, own))
        channel = layer.layer.new_name("other.")
        received = asyncio.run_coroutine_threadsafe(exchange(layer, channel), other)
        eventually(received.done)  # the loop is busy with this
        received.result()
        is_served = threading.Event()
        other.call_soon_threadsafe(is_served.wait, 10)
        try:
            await layer.send(own, HELLO)
            assert await asyncio.wait_for(waiting, 5) == HELLO
        finally:
            is_served.set()

    with loop_in_thread() as other:
        run(main(other))


def test_what_a_busy_loop_leaves_unread_is_read_by_the_thread(layer, monkeypatch):
    monkeypatch.setattr(listener, "_BUSY_LOOP_SECONDS", 0.05)

    async def main():
        channel = await layer.new_channel()
        await exchange(layer, channel)
        waiting = asyncio.ensure_future(layer.receive(channel))
        await until(lambda: waits(layer, channel))
        inbox = layer.layer.subscriptions.inboxes[channel]
        for number in range(1, 4):
            layer.layer.send(channel, HELLO)
            eventually(lambda: len(inbox.messages) == number)  # noqa: B023  the loop is busy with this
        assert await waiting == HELLO

    run(main())


def test_a_thread_goes_on_reading_for_a_loop_that_stays_busy(layer, monkeypatch):
    """Redis would close the connection of a process that leaves too much unread."""
    monkeypatch.setattr(listener, "_BUSY_LOOP_SECONDS", 0.5)

    async def main():
        channel = await layer.new_channel()
        await exchange(layer, channel)
        inbox = layer.layer.subscriptions.inboxes[channel]
        for number in range(60):
            layer.layer.send(channel, {"n": number, "data": "x" * (1 << 16)})
        eventually(lambda: len(inbox.messages) == 60)  # the loop is busy with this
        assert [(await layer.receive(channel))["n"] for _ in range(60)] == list(range(60))

    run(main())


def test_each_loop_reads_in_its_turn(layer, deliverers, patient):
    """One that is closed, and one that only does not run, leave the reading to the next."""
    paused = asyncio.new_event_loop()
    channel = paused.run_until_complete(layer.new_channel())
    for number in range(5):
        paused.run_until_complete(exchange(layer, channel))
        run(exchange(layer, channel))
        assert len(deliverers) == 2 * (number + 1)
    assert set(deliverers) == {threading.current_thread()}
    paused.close()


def test_a_loop_that_has_ended_is_forgotten_and_the_thread_reads(aio_for, redis_server, deliverers):
    layer = aio_for(redis_server, expiry=1)
    channel = asyncio.run(layer.new_channel())
    run(exchange(layer, channel))
    eventually(lambda: layer.layer.subscriptions.readers.reader is None)
    layer.layer.send(channel, HELLO)
    eventually(lambda: len(deliverers) == 2)
    assert deliverers[1] is not threading.current_thread()


def test_a_loop_reads_again_when_no_thread_waits_any_more(aio_for, redis_server, deliverers):
    layer = aio_for(redis_server, expiry=1)

    async def main():
        channel = await layer.new_channel()
        assert layer.layer.receive([channel]) == (None, None)
        await exchange(layer, channel)
        assert deliverers[-1] is not threading.current_thread()
        await until(lambda: not layer.layer.subscriptions.readers.is_shared)
        await exchange(layer, channel)
        await exchange(layer, channel)
        assert deliverers[-1] is threading.current_thread()

    run(main())


def test_no_descriptor_is_left_behind(aio_for, fresh_redis_server):
    layer = aio_for(fresh_redis_server)
    channel = asyncio.run(layer.new_channel())
    run(exchange(layer, channel))
    before = open_descriptors()
    for _ in range(10):
        run(exchange(layer, channel))
    inbox = layer.layer.subscriptions.inboxes[channel]
    kill_listeners(fresh_redis_server)
    eventually(lambda: not inbox.confirmed, interval=0.001)
    eventually(lambda: inbox.confirmed)
    run(exchange(layer, channel))
    assert len(open_descriptors()) < len(before) + 5


def test_a_loop_forgets_connections_that_were_closed(layer):
    """A closed connection is readable for ever, and would keep the loop busy."""

    async def main():
        before = open_descriptors()
        channel = await layer.new_channel()
        await exchange(layer, channel)
        assert len(open_descriptors()) > len(before)
        await layer.close()
        await until(lambda: len(open_descriptors()) <= len(before))

    run(main())


def test_a_new_channel_does_not_wait_for_a_loop_that_has_ended(layer, patient):
    run(exchange(layer, asyncio.run(layer.new_channel())))
    for _ in range(3):
        run(exchange(layer, asyncio.run(asyncio.wait_for(layer.new_channel(), 10))))


def test_a_message_that_comes_just_before_the_wait_is_not_missed(layer, monkeypatch):
    async def main():
        channel = await layer.new_channel()
        inbox = layer.layer.subscriptions.inboxes[channel]

        class Late(pubsub.CoroutineWaiter):
            """Comes when the coroutine has found no message, and is not known to wait."""

            def __init__(self, *arguments):
                super().__init__(*arguments)
                if not inbox.messages:
                    inbox.deliver(layer.serialize(HELLO), time.monotonic())

        monkeypatch.setattr(pubsub, "CoroutineWaiter", Late)
        assert await asyncio.wait_for(layer.receive(channel), 5) == HELLO

    run(main())


def test_a_flood_does_not_stop_new_subscriptions(layer):
    async def main():
        channel = await layer.new_channel()
        await exchange(layer, channel)
        ended = threading.Event()

        def flood():
            while not ended.is_set():
                layer.layer.send(channel, HELLO)

        thread = threading.Thread(target=flood)
        thread.start()
        try:
            for _ in range(5):
                new = await asyncio.wait_for(layer.new_channel(), 5)
                assert await layer.receive(channel) == HELLO
                await exchange(layer, new)
        finally:
            ended.set()
            thread.join()

    began = time.monotonic()
    run(main())
    assert time.monotonic() - began < 10


@pytest.mark.parametrize("times", [1, 3])
def test_uvloop_reads_as_well(layer, deliverers, patient, times):
    uvloop = pytest.importorskip("uvloop")
    for _ in range(times):
        loop = uvloop.new_event_loop()
        channel = loop.run_until_complete(layer.new_channel())
        loop.run_until_complete(exchange(layer, channel))
        loop.close()
    assert set(deliverers) == {threading.current_thread()}
