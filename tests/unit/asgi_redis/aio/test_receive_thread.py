"""Many channels: a message for one costs nothing for the others."""

from __future__ import annotations

import asyncio

import pytest
import redis

from asgi_redis.aio.receive_thread import QUEUES_PER_THREAD
from tests.support.async_waiting import until

pytestmark = pytest.mark.native("event loops in native threads")

QUICK = {"connection_kwargs": {"socket_connect_timeout": 1}}


async def reading(layer, names):
    """Return a list of received messages, and the tasks that fill it."""
    received = []

    async def read(name):
        while True:
            received.append((name, (await layer.receive(name))["n"]))

    tasks = [asyncio.ensure_future(read(name)) for name in names]
    await until(lambda: all_wait(layer, names), timeout=30)
    return received, tasks


def all_wait(layer, names):
    receiver = layer._mailboxes.receiver
    wanted = [thread for thread in receiver.threads if thread.waiters]
    receiving = all(thread.is_receiving and not thread.new_waiters for thread in wanted)
    return receiving and len(receiver.by_queue) == len(names)


@pytest.mark.parametrize("kind", ["normal.{}", "single.reader?{}"])
def test_a_message_costs_no_look_at_all_the_other_channels(aio_for, fresh_redis_server, eventually, kind):
    layer = aio_for(fresh_redis_server)

    def bytes_sent():
        with redis.Redis.from_url(fresh_redis_server.url) as client:
            return client.info("stats")["total_net_input_bytes"]

    async def run(number):
        names = [kind.format(f"{n:04}") for n in range(number)]
        received, tasks = await reading(layer, names)
        before = bytes_sent()
        for n in range(20):
            await layer.send(names[n * number // 20], {"n": n})
            await until(lambda n=n: len(received) == n + 1 and all_wait(layer, names))
        spent = bytes_sent() - before
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
        return spent

    assert asyncio.run(run(640)) < 1.5 * asyncio.run(run(QUEUES_PER_THREAD)) + 40_000


def test_each_of_many_messages_comes_to_its_channel_once(aio_for, redis_server):
    layer = aio_for(redis_server)
    names = [f"work{n:04}" for n in range(3 * QUEUES_PER_THREAD)]

    async def run():
        received, tasks = await reading(layer, names)
        sent = [(name, n) for n in range(5) for name in names]
        await asyncio.gather(*(layer.send(name, {"n": n}) for name, n in sent))
        await until(lambda: len(received) >= len(sent), timeout=30)
        assert sorted(received) == sorted(sent)
        for name in (names[0], names[-1]):
            assert [n for channel, n in received if channel == name] == list(range(5))
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)

    asyncio.run(run())
    assert not layer._mailboxes.receiver.by_queue


def test_an_outage_makes_two_lines_in_the_log_however_many_threads_meet_it(aio_for, fresh_redis_server, caplog):
    layer = aio_for(fresh_redis_server, **QUICK)
    names = [f"work{n:04}" for n in range(3 * QUEUES_PER_THREAD)]

    async def run():
        received, tasks = await reading(layer, names)
        fresh_redis_server.kill()
        await until(layer._mailboxes.receiver.is_down)
        fresh_redis_server.start()
        await until(lambda: not layer._mailboxes.receiver.is_down() and all_wait(layer, names))
        for name in (names[0], names[-1]):
            await layer.send(name, {"n": 0})
        await until(lambda: len(received) == 2)
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)

    asyncio.run(run())
    lines = [record.getMessage() for record in caplog.records if " serve" in record.getMessage()]
    assert len(lines) == 2, lines


def test_there_are_no_more_threads_than_the_connections_allow(aio_for, redis_server):
    layer = aio_for(redis_server, connection_kwargs={"max_connections": 4})
    names = [f"work{n:04}" for n in range(4 * QUEUES_PER_THREAD)]

    async def run():
        received, tasks = await reading(layer, names)
        assert len(layer._mailboxes.receiver.threads) == 2
        await asyncio.gather(*(layer.send(name, {"n": 0}) for name in names))
        await until(lambda: len(received) == len(names), timeout=30)
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)

    asyncio.run(run())
