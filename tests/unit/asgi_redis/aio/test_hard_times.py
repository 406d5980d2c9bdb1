"""Busy loops, processes without another thread, garbage collection at a bad moment."""

from __future__ import annotations

import asyncio
import threading

import pytest
from redis.exceptions import ConnectionError

from asgi_redis import ChannelFull
from asgi_redis.aio import loop_trips
from tests.support.async_waiting import notified, until, waits
from tests.support.threads import in_threads
from tests.support.waiting import eventually

pytestmark = pytest.mark.native("event loops in native threads")

HELLO = {"type": "hello"}


@pytest.fixture
def no_thread_once(monkeypatch):
    """The next start of a thread fails, as in a container at its limit of processes."""

    def arm():
        def fail(thread):
            monkeypatch.undo()
            raise RuntimeError("can't start new thread")

        monkeypatch.setattr(threading.Thread, "start", fail)

    return arm


@pytest.mark.parametrize(("capacity", "number"), [(1, 5), (10, 30)])
def test_waiters_keep_their_messages_while_the_loop_is_busy(aio_for, redis_server, capacity, number):
    """However small the capacity: these messages are reserved."""
    layer = aio_for(redis_server, capacity=capacity)

    def send(n):
        try:
            layer.layer.send("work", {"n": n})
        except ChannelFull:
            return False
        return True

    async def run():
        waiting = [asyncio.ensure_future(layer.receive("work")) for _ in range(number)]
        await until(lambda: waits(layer, "work"))
        in_threads(lambda n: eventually(lambda: send(n)), range(number))  # it does not run meanwhile
        received = await asyncio.wait_for(asyncio.gather(*waiting), 10)
        assert sorted(message["n"] for message in received) == list(range(number))
        assert layer.dropped_count == 0

    asyncio.run(run())


@pytest.mark.parametrize("number", [1, 2, 5])
def test_each_receive_that_begins_in_an_outage_raises_its_error(aio_for, fresh_redis_server, number):
    layer = aio_for(fresh_redis_server)
    fresh_redis_server.kill()

    async def run():
        receives = [asyncio.ensure_future(layer.receive("work")) for _ in range(number)]
        errors = await asyncio.wait_for(asyncio.gather(*receives, return_exceptions=True), 20)
        assert [type(error) for error in errors] == [ConnectionError] * number
        assert len(set(map(id, errors))) == number  # or a traceback would have the lines of all

    asyncio.run(run())


def test_callers_who_share_a_round_trip_get_errors_of_their_own(aio_for, fresh_redis_server):
    layer = aio_for(fresh_redis_server)
    fresh_redis_server.kill()

    async def run():
        errors = await asyncio.gather(*(layer.send("work", HELLO) for _ in range(5)), return_exceptions=True)
        assert [type(error) for error in errors] == [ConnectionError] * 5
        assert len(set(map(id, errors))) == 5

    asyncio.run(run())


def test_a_send_for_which_no_thread_could_be_started_is_done_by_the_caller(layer, no_thread_once):
    async def run():
        no_thread_once()
        await layer.send("work", HELLO)
        await asyncio.wait_for(layer.send("work", HELLO), 5)
        assert [await asyncio.wait_for(layer.receive("work"), 5) for _ in range(2)] == [HELLO, HELLO]
        await asyncio.wait_for(layer.close(), 5)

    asyncio.run(run())


def test_a_receive_for_which_no_thread_could_be_started_costs_only_itself(layer, no_thread_once):
    async def run():
        no_thread_once()
        with pytest.raises(RuntimeError, match="can't start"):
            await layer.receive("work")
        waiting = asyncio.ensure_future(layer.receive("work"))
        await layer.send("work", HELLO)
        assert await asyncio.wait_for(waiting, 5) == HELLO

    asyncio.run(run())


def test_a_coroutine_that_is_collected_in_the_middle_of_a_send_may_call_from_its_end(layer, monkeypatch):
    """Any allocation may run its ``finally``, in the same thread."""
    garbage, make_trip = [], loop_trips.RoundTrip

    async def consume():
        try:
            await asyncio.sleep(100)
        finally:
            await layer.group_discard("chat", "work")

    def collect_and_make_trip(*arguments):
        if garbage:
            with pytest.raises(RuntimeError, match="ignored GeneratorExit"):
                garbage.pop().close()
        return make_trip(*arguments)

    async def run():
        monkeypatch.setattr(loop_trips, "RoundTrip", collect_and_make_trip)
        garbage.append(consume())
        garbage[0].send(None)
        while garbage:  # until the thread is at rest, and the loop sends
            await layer.send("work", HELLO)
        await layer.send("work", HELLO)

    asyncio.run(run())


def test_a_notified_waiter_that_is_cancelled_leaves_its_message_to_the_next(aio_for, redis_server):
    layer = aio_for(redis_server, capacity=1)

    async def run():
        waiting = [asyncio.ensure_future(layer.receive("work")) for _ in range(3)]
        await until(lambda: waits(layer, "work"))
        layer.layer.send("work", {"n": 1})
        eventually(lambda: notified(layer))
        waiting[0].cancel()
        assert await asyncio.wait_for(waiting[1], 5) == {"n": 1}
        await layer.send("work", {"n": 2})
        assert await asyncio.wait_for(waiting[2], 5) == {"n": 2}
        assert layer.dropped_count == 0

    asyncio.run(run())


async def notified_receive(layer):
    """Return a ``receive`` that is notified, and has not run since."""
    waiting = asyncio.ensure_future(layer.receive("work"))
    await until(lambda: waits(layer, "work"))
    layer.layer.send("work", HELLO)
    eventually(lambda: notified(layer))
    return waiting


def test_closing_requeues_the_message_of_a_cancelled_receive(aio_for, redis_server):
    layer, other = aio_for(redis_server), aio_for(redis_server)

    async def run():
        waiting = await notified_receive(layer)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        await layer.close()

    asyncio.run(run())
    assert asyncio.run(asyncio.wait_for(other.receive("work"), 5)) == HELLO


def test_closing_requeues_the_message_of_a_receive_in_a_stopped_loop(aio_for, redis_server):
    layer, other = aio_for(redis_server), aio_for(redis_server)

    loop = asyncio.new_event_loop()
    waiting = loop.run_until_complete(notified_receive(layer))
    layer._close(1)  # as at the end of the interpreter
    assert asyncio.run(asyncio.wait_for(other.receive("work"), 5)) == HELLO
    waiting.cancel()
    loop.run_until_complete(asyncio.wait([waiting]))
    loop.close()
