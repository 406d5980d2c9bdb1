"""The private parts of asyncio that ``workers.loops.greenlets`` relies on."""

from __future__ import annotations

import asyncio
import types

from workers.loops import greenlets

CHANGED = "has changed: adapt workers.loops.greenlets"


def test_the_running_loop_of_a_thread_can_be_read_and_set() -> None:
    assert asyncio._get_running_loop() is None, f"asyncio._get_running_loop {CHANGED}"
    loop = asyncio.new_event_loop()
    try:
        asyncio._set_running_loop(loop)
        assert asyncio.get_running_loop() is loop, f"asyncio._set_running_loop {CHANGED}"
    finally:
        asyncio._set_running_loop(None)
        loop.close()


def test_all_loops_run_by_the_method_that_is_patched(monkeypatch) -> None:
    ran = []
    original = asyncio.BaseEventLoop.run_forever
    monkeypatch.setattr(asyncio.BaseEventLoop, "run_forever", lambda loop: (ran.append(loop), original(loop)))
    loop = asyncio.new_event_loop()
    try:
        loop.run_until_complete(asyncio.sleep(0))
    finally:
        loop.close()
    assert ran == [loop], "loops no longer run by BaseEventLoop.run_forever: adapt workers.loops.greenlets"


def test_a_loop_runs_while_a_task_of_another_greenlet_waits(monkeypatch) -> None:
    monkeypatch.setattr(greenlets, "_thread", types.SimpleNamespace(next=None))
    one, other = types.SimpleNamespace(), types.SimpleNamespace()

    async def wait_in_a_step() -> None:
        own = asyncio.get_running_loop(), asyncio.current_task()
        greenlets._trace("switch", (one, other))
        loop = asyncio.new_event_loop()
        loop.set_exception_handler(lambda loop, context: loop.stop())
        try:
            loop.run_until_complete(asyncio.sleep(0))
        finally:
            loop.close()
            greenlets._trace("switch", (other, one))
        assert (asyncio.get_running_loop(), asyncio.current_task()) == own, f"the current task {CHANGED}"

    asyncio.run(wait_in_a_step())
