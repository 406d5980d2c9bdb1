"""Events on their way to one client."""

from __future__ import annotations

import asyncio

import pytest

from asgi_redis.interface.outbox import Outbox


class Client:
    """Takes events when it is told to."""

    def __init__(self):
        self.reads = asyncio.Event()
        self.got = []
        self.written = []
        self.errors = []
        self.outbox = Outbox(
            asyncio.get_running_loop(), self.send, lambda *args: self.written.append(args), self.errors.append
        )

    async def send(self, event):
        await self.reads.wait()
        if event.get("fails"):
            raise RuntimeError("no")
        self.got.append(event["n"])

    async def settled(self):
        for _ in range(20):
            await asyncio.sleep(0)


@pytest.fixture
def run():
    return lambda scenario: asyncio.run(scenario())


def test_events_are_written_in_order_and_reported(run):
    async def scenario():
        client = Client()
        client.reads.set()
        client.outbox.put({"n": 1}, 10)
        client.outbox.put({"n": 2}, 20, last=True)
        await client.settled()
        assert client.got == [1, 2]
        assert client.written == [(10, False), (20, True)]
        assert client.outbox.size == 0

    run(scenario)


def test_room_counts_what_waits_and_one_event_always_fits(run):
    async def scenario():
        client = Client()
        assert client.outbox.has_room(10_000, 1000)
        client.outbox.put({"n": 1}, 500)
        assert client.outbox.has_room(200, 1000)
        assert not client.outbox.has_room(500, 1000)
        client.reads.set()
        await client.settled()
        assert client.outbox.has_room(500, 1000)

    run(scenario)


def test_cleared_events_are_not_written_and_later_ones_are(run):
    async def scenario():
        client = Client()
        client.outbox.put({"n": 1}, 10)
        client.outbox.put({"n": 2}, 10)
        await client.settled()
        client.outbox.clear()
        client.outbox.put({"n": 3}, 10)
        client.reads.set()
        await client.settled()
        assert client.got == [3]
        assert client.written == [(10, False)]
        assert client.outbox.size == 0

    run(scenario)


def test_after_an_error_the_rest_is_dropped_and_another_event_may_follow(run):
    async def scenario():
        client = Client()
        client.reads.set()
        client.outbox = Outbox(
            asyncio.get_running_loop(),
            client.send,
            lambda *args: client.written.append(args),
            lambda error: client.outbox.put({"n": 9}, last=True) if not client.got else None,
        )
        client.outbox.put({"fails": True})
        client.outbox.put({"n": 2})
        await client.settled()
        assert client.got == [9]

    run(scenario)
