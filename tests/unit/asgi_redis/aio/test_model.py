"""The asynchronous layers against a model: whatever is called, nothing is lost, doubled or out of turn."""

from __future__ import annotations

import asyncio
import uuid
from collections import deque
from collections.abc import Awaitable
from typing import Any, Callable, TypeVar

import pytest

pytest.importorskip("hypothesis")

from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, rule, run_state_machine_as_test

from asgi_redis.aio import AsyncChannelLayer, RedisChannelLayer, RedisClusterChannelLayer
from asgi_redis.embedded import RedisServer
from tests.support.clusters import Cluster

T = TypeVar("T")
NUMBERS = st.integers(0, 3)
PATIENCE = 20.0


class AsyncMachine(RuleBasedStateMachine):
    """
    Calls a layer, which ``make_layer`` returns, from one of two event loops. To be subclassed.

    No rule has a precondition: what is pending depends on the moment of a cancellation, and hypothesis wants the same
    rules again.
    """

    one_order = True

    def make_layer(self) -> Any:
        raise NotImplementedError

    def __init__(self) -> None:
        super().__init__()
        self.layer = self.make_layer()
        self.loops = [asyncio.new_event_loop(), asyncio.new_event_loop()]
        self.loop = self.loops[0]
        self.number = 0
        self.channels = ["work", *(self.run(self.layer.new_channel()) for _ in range(3))]
        self.pending: dict[str, deque[dict[str, Any]]] = {name: deque() for name in self.channels}
        self.members: set[str] = set()

    def teardown(self) -> None:
        for channel in self.channels:
            while self.pending[channel]:
                self.receive(self.channels.index(channel))
        self.run(self.layer.close())
        for loop in self.loops:
            loop.close()

    def run(self, coroutine: Awaitable[T]) -> T:
        return self.loop.run_until_complete(asyncio.wait_for(coroutine, PATIENCE))

    def message(self) -> dict[str, Any]:
        self.number += 1
        return {"type": "a.message", "number": self.number}

    @rule(number=st.integers(0, 1))
    def change_loops(self, number: int) -> None:
        self.loop = self.loops[number]

    @rule(number=NUMBERS)
    def send(self, number: int) -> None:
        message, channel = self.message(), self.channels[number]
        self.run(self.layer.send(channel, message))
        self.pending[channel].append(message)

    @rule()
    def group_send(self) -> None:
        message = self.message()
        self.run(self.layer.group_send("chat", message))
        for channel in self.members:
            self.pending[channel].append(message)

    @rule(number=NUMBERS)
    def group_add(self, number: int) -> None:
        self.run(self.layer.group_add("chat", self.channels[number]))
        self.members.add(self.channels[number])

    @rule(number=NUMBERS)
    def group_discard(self, number: int) -> None:
        self.run(self.layer.group_discard("chat", self.channels[number]))
        self.members.discard(self.channels[number])

    @rule(number=NUMBERS)
    def receive(self, number: int) -> None:
        channel = self.channels[number]
        if self.pending[channel]:
            self.received(channel, self.run(self.layer.receive(channel)))

    def received(self, channel: str, message: Any) -> None:
        if channel == "work" and not self.one_order:
            self.pending[channel].remove(message)  # each shard has an order of its own
        else:
            assert message == self.pending[channel].popleft()

    @rule()
    def receive_on_all_at_once(self) -> None:
        waited_for = [channel for channel in self.channels if self.pending[channel]]

        async def gather() -> Any:
            return await asyncio.gather(*(self.layer.receive(channel) for channel in waited_for))

        for channel, message in zip(waited_for, self.run(gather())):
            self.received(channel, message)

    @rule(number=NUMBERS, turns=st.integers(0, 3), sends=st.booleans())
    def receive_and_cancel(self, number: int, turns: int, sends: bool) -> None:
        """The message is received or left, whenever the cancellation comes."""
        channel, message = self.channels[number], self.message()

        async def receive() -> Any:
            task = asyncio.ensure_future(self.layer.receive(channel))
            await asyncio.sleep(0)
            if sends:
                await self.layer.send(channel, message)
            for _ in range(turns):
                await asyncio.sleep(0.0005)
            task.cancel()
            return (await asyncio.gather(task, return_exceptions=True))[0]

        received = self.run(receive())
        if sends:
            self.pending[channel].append(message)
        if not isinstance(received, asyncio.CancelledError):
            self.received(channel, received)


@pytest.mark.parametrize(
    "examples", [5, pytest.param(300, marks=[pytest.mark.soak, pytest.mark.timeout(900)])], ids=["quick", "long"]
)
@pytest.mark.parametrize("kind", ["redis", "shards", "encrypted", "in memory", "cluster"])
def test_model(kind: str, examples: int, three_redis_servers: list[RedisServer], shared_masters: Cluster) -> None:
    hosts = [server.url for server in (three_redis_servers if kind == "shards" else three_redis_servers[:1])]

    def make(self: AsyncMachine) -> Any:
        if kind == "in memory":
            inner = {"BACKEND": "asgi_redis.InMemoryChannelLayer", "CONFIG": {"capacity": 1000}}
            return AsyncChannelLayer(inner)
        keys = ["a key"] if kind == "encrypted" else None
        prefix = f"m{uuid.uuid4().hex[:8]}"
        if kind == "cluster":
            return RedisClusterChannelLayer(shared_masters.hosts, shards=3, prefix=prefix, capacity=1000)
        return RedisChannelLayer(hosts=hosts, prefix=prefix, capacity=1000, symmetric_encryption_keys=keys)

    if kind == "encrypted":
        pytest.importorskip("cryptography")
    machine: Callable[[], Any] = type(
        "Machine", (AsyncMachine,), {"make_layer": make, "one_order": kind not in ("shards", "cluster")}
    )
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=examples,
            stateful_step_count=40,
            deadline=None,
            database=None,
            suppress_health_check=list(HealthCheck),
            phases=(Phase.generate,),
        ),
    )
