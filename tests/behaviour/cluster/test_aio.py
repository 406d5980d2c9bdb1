"""The layer of asyncio over a cluster whose slots move and whose nodes fail."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import time
from collections import Counter

import pytest
from redis.exceptions import RedisError

from asgi_redis.aio import RedisClusterChannelLayer
from tests.support.async_waiting import until, waits
from tests.support.clusters import of_redis_in_the_suite

pytestmark = pytest.mark.native("event loops in native threads")

HELLO = {"type": "hello"}
SOON = {"group_lease": 1.0, "connection_kwargs": {"socket_connect_timeout": 2, "socket_timeout": 2}}


@pytest.fixture
def aio_layer(prefix):
    """``aio_layer(cluster, **settings)`` makes a layer under ``prefix``, closed in the end."""
    made = []

    def make(cluster, **settings):
        given = {"prefix": prefix, "shards": 1, "capacity": 100_000, **settings}
        made.append(RedisClusterChannelLayer(cluster.hosts, **given))
        return made[-1]

    yield make
    for layer in made:
        asyncio.run(layer.close())


async def in_thread(call, *arguments):
    return await asyncio.get_running_loop().run_in_executor(None, functools.partial(call, *arguments))


class Traffic:
    """
    Coroutines that send numbered messages to process-local channels, and others that receive them.

    Each sender has ``mails`` sends under way at a time.
    """

    def __init__(self, layer, mails=1):
        self.layer = layer
        self.sent: dict[str, list[int]] = {}
        self.received: dict[str, list[int]] = {}
        self.errors: list[Exception] = []
        self._mails = mails
        self._first = 0  # the number from which on messages count
        self._number = 0
        self._has_ended = False

    async def __aenter__(self):
        names = [await self.layer.new_channel() for _ in range(4)]
        self.sent = {name: [] for name in names}
        self.received = {name: [] for name in names}
        self._receivers = [asyncio.ensure_future(self._receive(name)) for name in names]
        self._senders = [asyncio.ensure_future(self._send(name)) for name in names]
        return self

    async def __aexit__(self, *exc_info):
        self._has_ended = True
        await asyncio.gather(*self._senders)
        with contextlib.suppress(AssertionError):  # the test says what is lost
            await until(lambda: not self.lost())
        for task in self._receivers:
            task.cancel()
        await asyncio.gather(*self._receivers, return_exceptions=True)

    def begin_anew(self):
        """Forgets the errors and messages of before."""
        self._first = self._number
        self.errors.clear()
        for of_channel in (*self.sent.values(), *self.received.values()):
            of_channel.clear()

    async def _send(self, channel):
        while not self._has_ended:
            numbers = range(self._number, self._number + self._mails)
            self._number += self._mails
            sends = [self.layer.send(channel, {"number": one}) for one in numbers]
            outcomes = await asyncio.gather(*sends, return_exceptions=True)
            errors = [error for error in outcomes if error is not None]
            if numbers[0] >= self._first:
                self.sent[channel] += [one for one, error in zip(numbers, outcomes) if error is None]
                self.errors += errors
            await asyncio.sleep(0.01 if errors else 0)

    async def _receive(self, channel):
        while True:
            try:
                number = (await self.layer.receive(channel))["number"]
            except RedisError:
                await asyncio.sleep(0.05)
                continue
            if number >= self._first:
                self.received[channel].append(number)

    async def goes_on(self, messages=20):
        """Waits until messages that are sent from now on arrive on each channel."""
        counts = {name: (len(self.sent[name]), len(self.received[name])) for name in self.sent}
        for name, (sent, received) in counts.items():
            await until(lambda name=name, sent=sent: len(self.sent[name]) > sent + messages, timeout=30)
            await until(lambda name=name, received=received: len(self.received[name]) > received + messages)

    def lost(self):
        return {name: gone for name in self.sent if (gone := set(self.sent[name]) - set(self.received[name]))}

    def doubled(self):
        return [(name, one) for name in self.sent for one, n in Counter(self.received[name]).items() if n > 1]

    def disorder(self):
        """Returns the neighbours in each channel of a message that came too early."""
        return {
            (name, place): received[max(0, place - 3) : place + 5]
            for name, received in self.received.items()
            for place, (one, following) in enumerate(zip(received, received[1:]))
            if one > following
        }


@pytest.mark.parametrize("mails", [1, 20])
def test_slots_move_back_and_forth_under_load(masters, aio_layer, move, mails):
    """Each message arrives once and in the order of its sender."""
    layer = aio_layer(masters)

    async def run():
        async with Traffic(layer, mails=mails) as traffic:
            await traffic.goes_on()
            await in_thread(move.back_and_forth, 8)
            await traffic.goes_on()
        return traffic

    traffic = asyncio.run(run())
    assert traffic.errors == []
    assert traffic.lost() == {}
    assert traffic.doubled() == []
    assert traffic.disorder() == {}


def test_a_slot_stays_in_the_middle_of_a_move_under_load(masters, aio_layer, move):
    layer = aio_layer(masters)

    async def run():
        async with Traffic(layer, mails=20) as traffic:
            await traffic.goes_on()
            await in_thread(move.begin)
            await traffic.goes_on()
            await in_thread(move.migrate, slice(0, None, 2))
            await traffic.goes_on()
            await in_thread(move.migrate)
            await traffic.goes_on()
            await in_thread(move.end)
            await traffic.goes_on()
        return traffic

    traffic = asyncio.run(run())
    assert traffic.errors == []
    assert (traffic.lost(), traffic.doubled()) == ({}, [])
    assert traffic.disorder() == {}


def noting(call, results):
    def noted():
        results.append(call())
        return results[-1]

    return noted


@pytest.fixture
def apart(masters, aio_layer, move, prefix, monkeypatch):
    """
    A layer with two shards, and a group of each; the slot of the first shard is on the move.

    Its groups are at one node still, and the ledger of this process's joins is at the other.
    """
    layer = aio_layer(masters, shards=2)
    groups = {layer.layer.consistent_hash(f"group{n}"): f"group{n}" for n in range(20)}
    rounds = []
    for memberships in layer._memberships:
        monkeypatch.setattr(memberships, "_make_round", noting(memberships._make_round, rounds))

    async def prepare():
        channel = await layer.new_channel()
        for group in groups.values():
            await layer.group_add(group, channel)
        # The first renewals, which all the others would wait for in the middle of the move.
        await until(lambda: len(rounds) >= len(groups))
        await in_thread(move.begin)
        await in_thread(masters.migrate, move.slot, [f"{{{prefix}:0}}:joined:{layer.client_prefix}".encode()])
        return channel

    return layer, groups[0], groups[1], prepare


def test_a_join_waits_for_the_end_of_a_move_and_sends_and_other_shards_do_not(apart, move):
    layer, group, other_group, prepare = apart

    async def run():
        channel = await prepare()
        joining = asyncio.ensure_future(layer.group_add(group, channel))
        for n in range(20):
            await asyncio.wait_for(layer.group_add(other_group, channel), 10)
            await asyncio.wait_for(layer.send(f"{n}!on.both.shards", HELLO), 10)
        assert not joining.done()
        await in_thread(move.end)
        await asyncio.wait_for(joining, 20)
        for one in (group, other_group):
            assert await in_thread(layer.layer.group_channels, one) == [channel]

    asyncio.run(run())


@pytest.mark.parametrize("adds", ["join", "join and renewal"])
def test_a_member_that_was_discarded_in_the_middle_of_a_move_does_not_come_back(apart, move, adds):
    """The node refuses to add it, as the ledger is elsewhere, and carries out the discard that was sent with it."""
    layer, group, _, prepare = apart
    memberships = layer._memberships[layer.layer.consistent_hash(group)]

    async def run():
        channel = await prepare()
        # While the node that has the ledger does not answer, the others line up, and are then sent together.
        move.cluster.pause(move.to)
        try:
            memberships._ask(memberships._operations.look())
            adding = [asyncio.ensure_future(layer.group_add(group, channel))]
            if adds == "join and renewal":
                await asyncio.sleep(0)
                adding.append(asyncio.wrap_future(memberships._ask(memberships._renewal([(group, channel)]))))
            discarding = asyncio.ensure_future(layer.group_discard(group, channel))
            await until(lambda: (group, channel) not in memberships._joined)
        finally:
            move.cluster.resume(move.to)
        await discarding
        await in_thread(move.end)
        await asyncio.wait_for(asyncio.gather(*adding), 20)
        assert await in_thread(layer.layer.group_channels, group) == []
        await layer.group_add(group, channel)
        assert await in_thread(layer.layer.group_channels, group) == [channel]

    asyncio.run(run())


def test_members_stay_members_wherever_their_group_goes(masters, aio_layer, move):
    layer = aio_layer(masters, group_lease=1.0)

    async def run():
        channel = await layer.new_channel()
        await layer.group_add("chat", channel)
        until_then = time.monotonic() + 3.0
        received = 0
        while time.monotonic() < until_then or received < 3:
            receiving = asyncio.ensure_future(layer.receive(channel))
            await until(lambda: waits(layer, channel))
            await in_thread(move.back_and_forth, 1)
            assert await layer.group_send("chat", HELLO) == 0
            assert await asyncio.wait_for(receiving, 20) == HELLO
            received += 1
        assert await in_thread(layer.layer.group_channels, "chat") == [channel]

    asyncio.run(run())


@of_redis_in_the_suite
@pytest.mark.parametrize("end", ["kill", pytest.param("pause", marks=pytest.mark.soak)])
def test_a_master_fails_under_load(fresh_cluster, aio_layer, prefix, end):
    """Calls go on by themselves with its replica, which gets back the memberships that it has not heard of."""
    layer = aio_layer(fresh_cluster, shards=4, **SOON)
    master = fresh_cluster.master_of(f"{{{prefix}:0}}")

    async def run():
        channels = [await layer.new_channel() for _ in range(8)]
        receiving = [asyncio.ensure_future(layer.receive(channel)) for channel in channels]
        async with Traffic(layer, mails=5) as traffic:
            await traffic.goes_on()
            for n, channel in enumerate(channels):
                await layer.group_add(f"group{n}", channel)
            await in_thread(getattr(fresh_cluster, end), master)
            await until(lambda: fresh_cluster.master_of(f"{{{prefix}:0}}") is not master, timeout=20)
            await traffic.goes_on()
            for n, one in enumerate(receiving):
                await hears(layer, f"group{n}", one)
            traffic.begin_anew()
            await traffic.goes_on()
        return traffic

    traffic = asyncio.run(run())
    assert traffic.errors == []
    assert (traffic.lost(), traffic.doubled()) == ({}, [])
    assert traffic.disorder() == {}


async def hears(layer, group, receiving):
    """Sends to the group until ``receiving`` has it."""
    while not receiving.done():
        await asyncio.gather(layer.group_send(group, HELLO), return_exceptions=True)
        await asyncio.wait([receiving], timeout=0.05)
    assert receiving.result() == HELLO


def test_statistics_and_flush(masters, aio_layer):
    layer = aio_layer(masters, shards=4)

    async def run():
        channel = await layer.new_channel()
        await layer.group_add("chat", channel)
        for n in range(20):
            await layer.send("work", {"n": n})
        assert layer.layer.channel_statistics("work")["messages_pending"] == 20
        assert layer.layer.global_statistics()["messages_count"] == 20
        await layer.flush()
        assert layer.layer.channel_statistics("work")["messages_pending"] == 0
        assert await in_thread(layer.layer.group_channels, "chat") == []

    asyncio.run(run())
