"""Consumers of several event loops that make all calls at once while the slots of their shards move."""

from __future__ import annotations

import asyncio
import itertools
import random
import threading

import pytest

from asgi_redis.aio import RedisClusterChannelLayer
from tests.support.async_waiting import until
from tests.support.clusters import slot_of

pytestmark = pytest.mark.native("event loops in native threads")

SHARDS = 6
LOOPS = 2
CONSUMERS = 5  # in each loop


class Consumer:
    """Sends to its own channel and group, in turn, and receives; gives up waiting every now and then."""

    def __init__(self, layer, name):
        self._layer = layer
        self._name = name
        self.sent: dict[str, list[int]] = {"direct": [], "group": []}
        self.received: dict[str, list[int]] = {"direct": [], "group": []}

    async def run(self, has_ended):
        layer, group = self._layer, f"group.{self._name}"
        channel = await layer.new_channel(f"consumer.{self._name}")
        receiving = asyncio.ensure_future(self._receive(channel))
        is_member, number = False, 0
        while not has_ended.is_set():
            number += 1
            call = random.choice(["direct"] * 6 + ["join", "leave", "group"])
            if call == "direct":
                await layer.send(channel, {"kind": "direct", "number": number})
                self.sent["direct"].append(number)
            elif call == "group":
                await layer.group_send(group, {"kind": "group", "number": number})
                self.sent["group"] += [number] * is_member
            else:
                is_member = call == "join"
                await (layer.group_add if is_member else layer.group_discard)(group, channel)
        await until(lambda: sum(map(len, self.received.values())) >= sum(map(len, self.sent.values())), timeout=20)
        receiving.cancel()

    async def _receive(self, channel):
        while True:
            try:
                message = await asyncio.wait_for(self._layer.receive(channel), random.choice([0.001, 0.05, 5]))
            except asyncio.TimeoutError:
                continue
            self.received[message["kind"]].append(message["number"])


def move_at_random(cluster, prefix, times):
    for _ in range(times):
        slot = slot_of(f"{{{prefix}:{random.randrange(SHARDS)}}}")
        there = cluster.master_of(slot)
        cluster.begin_move(slot, random.choice([node for node in cluster.masters() if node is not there]))
        cluster.migrate(slot)
        cluster.end_move(slot)


@pytest.mark.parametrize("moves", [20, pytest.param(500, marks=[pytest.mark.soak, pytest.mark.timeout(600)])])
def test_each_message_arrives_once_in_the_order_of_its_sender(masters, prefix, moves):
    layer = RedisClusterChannelLayer(masters.hosts, prefix=prefix, shards=SHARDS, capacity=100_000, group_lease=4)
    has_ended = threading.Event()
    consumers = [[Consumer(layer, f"{loop}.{n}") for n in range(CONSUMERS)] for loop in range(LOOPS)]
    errors = []

    def run(of_loop):
        async def run_all():
            await asyncio.gather(*[consumer.run(has_ended) for consumer in of_loop])

        try:
            asyncio.run(run_all())
        except BaseException as error:  # noqa: BLE001  the test has it
            errors.append(error)

    threads = [threading.Thread(target=run, args=(of_loop,)) for of_loop in consumers]
    for thread in threads:
        thread.start()
    try:
        move_at_random(masters, prefix, moves)
    finally:
        has_ended.set()
        for thread in threads:
            thread.join()
        asyncio.run(layer.close())
    assert errors == []
    for consumer in itertools.chain(*consumers):
        assert consumer.received == consumer.sent
        assert consumer.sent["direct"]
