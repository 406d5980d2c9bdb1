"""The last messages of websockets."""

from __future__ import annotations

import asyncio
import os

import pytest

from asgi_redis import InMemoryChannelLayer
from asgi_redis.aio.pipelined import asynchronous
from asgi_redis.interface.gate import Gate
from asgi_redis.interface.notices import Notices
from asgi_redis.interface.services import Farewells
from asgi_redis.process import fork
from asgi_redis.wire import Witness

CHANNEL = "websocket.disconnect"


def farewell(name):
    return {"reply_channel": name, "path": "/"}, Witness(name, 1)


@pytest.fixture
def layer():
    return InMemoryChannelLayer(capacity=1)


@pytest.fixture
def farewells(layer):
    return Farewells(asynchronous(layer), Gate(asynchronous(layer), 60, 60), Notices())


async def one_waits(farewells):
    """Send two where there is room for one; return the task of the second."""
    await farewells.send(*farewell("a!1"), 60)
    waiting = asyncio.ensure_future(farewells.send(*farewell("a!2"), 60))
    await asyncio.sleep(0)  # it begins
    await farewells.settle(0.05)
    assert not waiting.done()
    return waiting


def test_a_farewell_that_the_end_of_the_loop_has_cut_short_is_sent_at_the_exit(layer, farewells):
    asyncio.run(one_waits(farewells))
    assert layer.receive([CHANNEL])[1]["reply_channel"] == "a!1"
    farewells.send_at_exit([])
    assert layer.receive([CHANNEL])[1]["reply_channel"] == "a!2"
    assert layer.receive([CHANNEL]) == (None, None)


def test_settle_waits_for_the_farewells_of_its_loop(layer, farewells):
    async def run():
        waiting = await one_waits(farewells)
        layer.receive([CHANNEL])
        await farewells.settle(10)
        await waiting

    asyncio.run(run())
    assert layer.receive([CHANNEL])[1]["reply_channel"] == "a!2"
    farewells.send_at_exit([])
    assert layer.receive([CHANNEL]) == (None, None)


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_forked_process_leaves_the_farewells_to_its_parent():
    layer = InMemoryChannelLayer(capacity=1)
    farewells = Farewells(asynchronous(layer), Gate(asynchronous(layer), 60, 60), Notices())

    async def run():
        layer.send(CHANNEL, {"reply_channel": "a!1"})
        waiting = asyncio.ensure_future(farewells.send(*farewell("a!2"), 60))
        await asyncio.sleep(0.05)
        pid = os.fork()
        if not pid:
            fork.check()
            farewells.send_at_exit([])
            os._exit(layer.receive([CHANNEL]) != (None, None))
        assert os.waitpid(pid, 0)[1] == 0
        waiting.cancel()

    asyncio.run(run())
