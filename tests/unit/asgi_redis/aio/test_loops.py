"""Event loops which come and go, several at once, in several threads."""

from __future__ import annotations

import asyncio
import gc
import threading

import pytest
from asgiref.sync import async_to_sync

from tests.support.async_waiting import until, waits
from tests.support.threads import in_threads

pytestmark = pytest.mark.native("event loops in native threads")

HELLO = {"type": "hello"}


@pytest.fixture
def layer(any_layer):
    return any_layer


def test_fifty_loops_one_after_the_other_use_the_same_connections(aio_for, fresh_redis_server):
    layer = aio_for(fresh_redis_server)

    async def use():
        channel = await layer.new_channel()
        await layer.group_add("chat", channel)
        waiting = asyncio.ensure_future(layer.receive(channel))
        await layer.group_send("chat", HELLO)
        assert await waiting == HELLO
        await layer.group_discard("chat", channel)

    for _ in range(5):
        asyncio.run(use())
    before, threads = layer.layer._shards[0].execute(client_list()), threading.active_count()
    for _ in range(50):
        asyncio.run(use())
    assert len(layer.layer._shards[0].execute(client_list()) - before) <= 1  # one may come late, and is kept
    assert threading.active_count() <= threads
    assert not layer._mailboxes.by_channel
    assert not layer._mailboxes.receiver.by_queue


def client_list():
    from asgi_redis.wire.operation import Operation, command

    def read(reply):
        return {line.split()[0] for line in reply.decode().splitlines()}

    return Operation(command(b"CLIENT", b"LIST"), read)


def test_a_thousand_calls_of_async_to_sync(layer):
    for number in range(500):
        async_to_sync(layer.send)("work", {"number": number % 50})
        assert async_to_sync(layer.receive)("work") == {"number": number % 50}


def test_two_loops_in_two_threads_wait_at_the_same_time(layer):
    ready, names = threading.Barrier(2, timeout=10), {}

    async def talk(me, other):
        names[me] = await layer.new_channel()
        ready.wait()
        for number in range(200):
            await layer.send(names[other], {"number": number})
            assert await asyncio.wait_for(layer.receive(names[me]), 10) == {"number": number}

    in_threads(lambda pair: asyncio.run(talk(*pair)), [("a", "b"), ("b", "a")])


def test_many_loops_share_a_channel_and_lose_nothing(aio_for, redis_server):
    layer = aio_for(redis_server, capacity=2000)
    received, lock = [], threading.Lock()

    async def take(number):
        await asyncio.gather(*(layer.send("work", {"number": number * 100 + i}) for i in range(100)))
        for _ in range(100):
            message = await asyncio.wait_for(layer.receive("work"), 10)
            with lock:
                received.append(message["number"])

    in_threads(lambda number: asyncio.run(take(number)), range(8))
    assert sorted(received) == list(range(800))


class TestALoopThatIsClosed:
    def start_waiting(self, layer, channel):
        """Somebody waits in a loop that is then closed without a word, and is kept alive."""
        loop = asyncio.new_event_loop()
        task = loop.create_task(layer.receive(channel))
        loop.run_until_complete(until(lambda: waits(layer, channel)))
        return loop, task

    def forget(self, task):
        task._log_destroy_pending = False  # that is what this is about

    def test_its_message_is_for_the_next(self, layer):
        loop, task = self.start_waiting(layer, "work")
        loop.close()
        layer.layer.send("work", HELLO)
        assert asyncio.run(asyncio.wait_for(layer.receive("work"), 5)) == HELLO
        self.forget(task)

    def test_a_message_passes_by_any_number_of_its_waiters(self, layer):
        loop = asyncio.new_event_loop()
        tasks = [loop.create_task(layer.receive("work")) for _ in range(2000)]
        loop.run_until_complete(until(lambda: waits(layer, "work")))

        async def run():
            waiting = asyncio.ensure_future(layer.receive("work"))
            await asyncio.sleep(0)
            loop.close()
            await layer.send("work", HELLO)
            assert await asyncio.wait_for(waiting, 5) == HELLO

        asyncio.run(run())
        for task in tasks:
            self.forget(task)

    def test_its_message_is_for_the_next_also_when_it_was_told_before(self, layer):
        loop, task = self.start_waiting(layer, "work")
        layer._mailboxes.deliver([("work", HELLO)])
        loop.close()
        assert asyncio.run(asyncio.wait_for(layer.receive("work"), 5)) == HELLO
        self.forget(task)

    def test_who_waits_behind_it_gets_the_message(self, layer):
        loop, task = self.start_waiting(layer, "work")

        async def run():
            waiting = asyncio.ensure_future(layer.receive("work"))
            await until(lambda: len(layer._mailboxes.by_channel["work"].waiters) == 2)
            loop.close()
            await layer.send("work", HELLO)
            assert await asyncio.wait_for(waiting, 5) == HELLO

        asyncio.run(run())
        self.forget(task)

    def test_it_is_collected_without_harm(self, layer, eventually):
        loop, task = self.start_waiting(layer, "work")
        layer._mailboxes.deliver([("work", HELLO)])
        loop.close()
        self.forget(task)
        del loop, task
        gc.collect()
        assert asyncio.run(asyncio.wait_for(layer.receive("work"), 5)) == HELLO
        asyncio.run(layer.send("work", HELLO))
        assert asyncio.run(asyncio.wait_for(layer.receive("work"), 5)) == HELLO
        eventually(lambda: not layer._mailboxes.receiver.by_queue)
