"""The cost of waiting."""

from __future__ import annotations

import asyncio
import time

import pytest

from tests.support.async_waiting import until, waits

pytestmark = pytest.mark.native("event loops in native threads")


def test_a_thousand_waiters_cost_next_to_nothing(layer):
    async def run():
        names = [await layer.new_channel() for _ in range(1000)]
        waiting = [asyncio.ensure_future(layer.receive(name)) for name in names]
        await until(lambda: waits(layer, names[-1]))
        before, began = time.process_time(), time.monotonic()
        await asyncio.sleep(1)
        share = (time.process_time() - before) / (time.monotonic() - began)
        for one in waiting:
            one.cancel()
        return share

    assert asyncio.run(run()) < 0.05


def test_redis_gets_no_command_while_nothing_waits(layer, client, eventually):
    async def run():
        await layer.send("work", {})
        await layer.receive("work")
        waiting = asyncio.ensure_future(layer.receive("work"))
        await until(lambda: waits(layer, "work"))
        waiting.cancel()

    asyncio.run(run())
    eventually(lambda: not layer._mailboxes.receiver.threads[0].is_receiving)

    def commands():
        return client.info("stats")["total_commands_processed"]

    before = commands()
    time.sleep(0.3)  # this is the time in which nothing must happen
    assert commands() - before == 1  # the asking
