"""Coroutines that give up waiting, at any moment: no message is lost, none comes twice."""

from __future__ import annotations

import asyncio
import random

import pytest

from tests.support.async_waiting import notified, until, waits

pytestmark = pytest.mark.native("event loops in native threads")

MESSAGES = 4_000


@pytest.fixture
def layer(any_layer):
    return any_layer


@pytest.mark.parametrize("kind", ["normal", "process-local"])
def test_thousands_of_messages_survive_receivers_that_give_up_all_the_time(aio_for, redis_server, kind):
    layer = aio_for(redis_server, capacity=MESSAGES)

    async def run():
        channel = "work" if kind == "normal" else await layer.new_channel()
        received = []
        sending = asyncio.ensure_future(send_all(layer, channel))
        chance = random.Random(7)

        async def take():
            message = await layer.receive(channel)
            received.append(message["number"])  # in the same step: what was returned was received

        async def receive_and_give_up():
            while len(received) < MESSAGES:
                task = asyncio.ensure_future(take())
                for _ in range(chance.randrange(4)):
                    await asyncio.sleep(0)
                if chance.random() < 0.5:
                    await asyncio.sleep(chance.random() / 2000)
                task.cancel()
                await asyncio.wait([task])

        await asyncio.wait_for(asyncio.gather(*(receive_and_give_up() for _ in range(10))), 45)
        await sending
        return received

    received = asyncio.run(run())
    assert sorted(received) == list(range(MESSAGES))
    assert layer.dropped_count == 0


async def send_all(layer, channel):
    for start in range(0, MESSAGES, 50):
        await asyncio.gather(*(layer.send(channel, {"number": start + number}) for number in range(50)))


def test_the_next_in_line_gets_what_was_meant_for_one_who_gave_up_in_that_moment(layer):
    async def run():
        first = asyncio.ensure_future(layer.receive("work"))
        second = asyncio.ensure_future(layer.receive("work"))
        await until(lambda: waits(layer, "work"))
        layer._mailboxes.deliver([("work", {"number": 1})])  # the first is notified
        first.cancel()
        assert await asyncio.wait_for(second, 4) == {"number": 1}
        assert first.cancelled()

    asyncio.run(run())


def test_what_was_meant_for_one_who_gave_up_waits_for_the_next(layer):
    async def run():
        first = asyncio.ensure_future(layer.receive("work"))
        await until(lambda: waits(layer, "work"))
        layer._mailboxes.deliver([("work", {"number": 1})])
        first.cancel()
        await asyncio.wait([first])
        await layer.send("work", {"number": 2})
        assert [await layer.receive("work"), await layer.receive("work")] == [{"number": 1}, {"number": 2}]

    asyncio.run(run())


def test_the_next_in_line_gets_what_was_meant_for_one_who_was_collected(layer):
    """A coroutine that is garbage ends with GeneratorExit, in whatever thread and at whatever moment."""

    async def run():
        first = layer.receive("work")
        first.send(None)  # it waits
        second = asyncio.ensure_future(layer.receive("work"))
        await until(lambda: waits(layer, "work"))
        first.close()
        await layer.send("work", {"number": 1})
        assert await asyncio.wait_for(second, 4) == {"number": 1}
        assert not notified(layer)
        assert not layer._mailboxes.receiver.by_queue

    asyncio.run(run())


def test_sends_that_are_cancelled_leave_the_others_alone(layer):
    async def run():
        tasks = [asyncio.ensure_future(layer.send("work", {"number": number})) for number in range(80)]
        await asyncio.sleep(0)
        for task in tasks[::2]:
            task.cancel()
        results = await asyncio.gather(*tasks, return_exceptions=True)
        assert not any(results[1::2])
        received = set()
        while not set(range(1, 80, 2)) <= received:
            received.add((await asyncio.wait_for(layer.receive("work"), 5))["number"])

    asyncio.run(run())


def test_nobody_is_received_for_who_has_given_up(layer):
    """A message that comes when the only one who waited has gone stays in Redis, for other processes."""

    async def run():
        waiting = asyncio.ensure_future(layer.receive("work"))
        await until(lambda: waits(layer, "work"))
        waiting.cancel()
        await until(lambda: not layer._mailboxes.receiver.threads[0].is_receiving)
        await layer.send("work", {"number": 1})

    asyncio.run(run())
    assert layer.layer.receive(["work"]) == ("work", {"number": 1})


def test_a_group_send_that_is_cancelled_leaves_no_error_behind(aio_for, three_redis_servers, caplog):
    layer = aio_for(*three_redis_servers)

    async def run():
        for number in range(30):
            await layer.group_add("chat", f"member{number}")
        for _ in range(50):
            sending = asyncio.ensure_future(layer.group_send("chat", {}))
            await asyncio.sleep(random.random() / 1000)
            sending.cancel()
            await asyncio.wait([sending])
        assert await asyncio.wait_for(layer.group_send("chat", {}), 5) == 0

    asyncio.run(run())
    assert not [record for record in caplog.records if record.name == "asyncio"]
