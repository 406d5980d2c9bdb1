"""The threads that carry out calls, and the way of the results to the callers."""

from __future__ import annotations

import asyncio
import threading
import time

import pytest

from asgi_redis.aio.runner import BlockingCalls, results_of

pytestmark = pytest.mark.native("event loops in native threads")


@pytest.fixture
def calls():
    calls = BlockingCalls("test calls", 2)
    yield calls
    calls.close(5)


def test_results_and_errors_go_to_their_callers(calls):
    async def run():
        loop = asyncio.get_running_loop()
        good, bad = calls.submit(lambda: 1, loop), calls.submit(lambda: 1 // 0, loop)
        assert await good == 1
        with pytest.raises(ZeroDivisionError):
            await bad

    asyncio.run(run())


def test_a_call_that_takes_long_keeps_no_other_waiting(calls):
    async def run():
        loop, go_on = asyncio.get_running_loop(), threading.Event()
        first = calls.submit(lambda: time.sleep(0.01), loop)
        second = calls.submit(lambda: 2, loop)
        slow = calls.submit(lambda: go_on.wait(10), loop)
        await asyncio.wait_for(asyncio.gather(first, second), 8)
        for number in range(20):
            assert await asyncio.wait_for(calls.submit(lambda number=number: number, loop), 8) == number
        go_on.set()
        assert await slow

    asyncio.run(run())


def test_a_call_that_was_cancelled_before_its_turn_is_not_made(calls):
    async def run():
        loop, go_on, done = asyncio.get_running_loop(), threading.Event(), []
        blocking = [calls.submit(lambda: go_on.wait(10), loop) for _ in range(2)]
        given_up, other = calls.submit(lambda: done.append("given up"), loop), calls.submit(lambda: None, loop)
        given_up.cancel()
        go_on.set()
        await asyncio.gather(other, *blocking)
        assert not done

    asyncio.run(run())


def test_calls_from_before_closing_are_made(calls):
    async def run():
        loop = asyncio.get_running_loop()
        futures = [calls.submit(lambda: time.sleep(0.001), loop) for _ in range(50)]
        calls.close(5)
        await asyncio.wait_for(asyncio.gather(*futures), 10)
        assert not [thread for thread in threading.enumerate() if thread.name.startswith("test calls")]
        assert await calls.submit(lambda: 1, loop) == 1

    asyncio.run(run())


def test_a_closed_loop_does_not_disturb_the_results_of_others(calls):
    loop = asyncio.new_event_loop()

    async def run(go_on):
        return calls.submit(lambda: go_on.wait(10), loop)

    go_on = threading.Event()
    loop.run_until_complete(run(go_on))
    loop.close()
    go_on.set()

    async def others():
        for _ in range(4):
            assert await asyncio.wait_for(calls.submit(lambda: 1, asyncio.get_running_loop()), 5) == 1

    asyncio.run(others())


def test_a_request_that_was_sent_at_once_and_given_up_leaves_the_next_in_step(layer):
    async def run():
        await layer.group_add("chat", "one")
        for number in range(200):
            given_up = asyncio.ensure_future(layer.group_send("chat", {}))
            await asyncio.sleep(0)  # its first request is sent
            given_up.cancel()
            await layer.send("work", {"number": number % 50})
            assert await layer.receive("work") == {"number": number % 50}

    asyncio.run(run())


def test_cancelling_a_wait_for_several_results_cancels_each():
    """Unsent requests are not sent any more, and later errors are dropped."""

    async def run():
        futures = [asyncio.get_running_loop().create_future() for _ in range(3)]
        waiting = asyncio.ensure_future(results_of(futures))
        await asyncio.sleep(0)
        waiting.cancel()
        await asyncio.wait([waiting])
        assert all(future.cancelled() for future in futures)

    asyncio.run(run())


def test_the_first_of_several_errors_is_raised_when_all_have_answered():
    async def run():
        loop = asyncio.get_running_loop()
        one, other, last = (loop.create_future() for _ in range(3))
        waiting = asyncio.ensure_future(results_of([one, other, last]))
        other.set_exception(ValueError("other"))
        await asyncio.sleep(0)
        assert not waiting.done()
        one.set_result(1)
        last.set_exception(ValueError("last"))
        with pytest.raises(ValueError, match="other"):
            await waiting

    asyncio.run(run())
