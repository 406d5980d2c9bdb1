"""Groups that heal: memberships are renewed, put back when Redis has lost them, and end with their channels."""

from __future__ import annotations

import asyncio
import gc
import threading
import time

import pytest
import redis
from redis.exceptions import ConnectionError, ResponseError

from asgi_redis.exceptions import ConfigurationError
from asgi_redis.wire import Keys, scripts
from asgi_redis.wire.memberships import Membership, MembershipOperations
from tests.support.async_waiting import until, waits
from tests.support.shards import shard_at

pytestmark = pytest.mark.native("event loops in native threads")

HELLO = {"type": "hello"}
SOON = {"group_lease": 1.0, "connection_kwargs": {"socket_connect_timeout": 1}}


@pytest.fixture
def aio(aio_for, fresh_redis_server):
    """A layer that renews its memberships four times a second, on a server of the test's own."""
    return aio_for(fresh_redis_server, **SOON)


@pytest.fixture
def other(layer_for, fresh_redis_server):
    """Another process, which has a synchronous layer."""
    return layer_for(fresh_redis_server)


@pytest.fixture
def server(fresh_redis_server):
    with redis.Redis.from_url(fresh_redis_server.url) as client:
        yield client


async def joined(layer, *groups):
    """Returns a channel in ``groups``, and a task that receives from it."""
    channel = await layer.new_channel()
    for group in groups:
        await layer.group_add(group, channel)
    receiving = asyncio.ensure_future(layer.receive(channel))
    await until(lambda: waits(layer, channel))
    return channel, receiving


async def a_round(layer):
    """Returns when another round has begun and ended."""
    (memberships,) = layer._memberships
    begun = memberships._round
    await until(lambda: memberships._round >= begun + 2)


async def hears(layer, group, receiving):
    """Sends to the group until ``receiving`` has it."""
    while not receiving.done():
        await asyncio.gather(layer.group_send(group, HELLO), return_exceptions=True)
        await asyncio.wait([receiving], timeout=0.05)
    assert receiving.result() == HELLO


@pytest.mark.parametrize("group_expiry", [1, 86400])
def test_memberships_last_as_long_as_something_receives(aio_for, layer_for, redis_server, group_expiry):
    layer = aio_for(redis_server, group_lease=1, group_expiry=group_expiry)
    other = layer_for(redis_server, group_expiry=group_expiry)

    async def run():
        channel, receiving = await joined(layer, "chat")
        until_then = asyncio.get_running_loop().time() + 2.5
        while asyncio.get_running_loop().time() < until_then:
            assert other.group_channels("chat") == [channel]
            await asyncio.sleep(0.05)
        other.send_group("chat", HELLO)
        assert await asyncio.wait_for(receiving, 10) == HELLO

    asyncio.run(run())


def test_after_flushdb_the_groups_have_their_members_again(aio, other, server):
    async def run():
        one, receiving = await joined(aio, "chat", "news")
        two, _ = await joined(aio, "chat")
        server.flushdb()
        await until(lambda: sorted(other.group_channels("chat")) == sorted([one, two]))
        await until(lambda: other.group_channels("news") == [one])
        other.send_group("news", HELLO)
        assert await asyncio.wait_for(receiving, 10) == HELLO

    asyncio.run(run())


def test_after_a_restart_without_data_messages_arrive_again(aio, other, fresh_redis_server):
    async def run():
        channel, receiving = await joined(aio, "chat")
        fresh_redis_server.kill()
        fresh_redis_server.start()
        await asyncio.wait_for(hears(aio, "chat", receiving), 20)
        assert other.group_channels("chat") == [channel]

    asyncio.run(run())


def test_what_the_process_has_discarded_does_not_come_back(aio, other, server):
    async def run():
        channel, _ = await joined(aio, "chat", "news")
        await aio.group_discard("chat", channel)
        await a_round(aio)
        server.flushdb()
        await until(lambda: other.group_channels("news") == [channel])
        await a_round(aio)
        assert other.group_channels("chat") == []

    asyncio.run(run())


def test_what_another_process_has_discarded_does_not_come_back(aio, other, server, prefix):
    """Not in the next rounds, and not when the data are lost later on."""

    async def run():
        channel, _ = await joined(aio, "chat", "news", "stays")
        other.group_discard("chat", channel)  # within moments of its addition
        await a_round(aio)
        server.zrem(f"{prefix}:group:news", channel)
        await a_round(aio)
        assert other.group_channels("chat") == other.group_channels("news") == []
        server.flushdb()
        await until(lambda: other.group_channels("stays") == [channel])
        await a_round(aio)
        assert other.group_channels("chat") == other.group_channels("news") == []
        await aio.group_add("chat", channel)
        await a_round(aio)
        assert other.group_channels("chat") == [channel]

    asyncio.run(run())


def test_members_of_a_process_that_was_killed_go_when_the_lease_is_over(aio_for, layer_for, redis_server, prefix):
    """A member that channels_redis has added stays for group_expiry."""
    killed, other = aio_for(redis_server, group_lease=0.5), layer_for(redis_server)

    async def run():
        channel, receiving = await joined(killed, "chat")
        other.group_add("chat", "specific.stock!one")
        assert set(other.group_channels("chat")) == {channel, "specific.stock!one"}
        receiving.cancel()

    asyncio.run(run())
    for part in killed._parts:
        part.end()
    asyncio.run(until_async(lambda: other.group_channels("chat") == ["specific.stock!one"]))


async def until_async(predicate):
    await until(predicate)


def test_the_lease_is_a_setting(aio_for, redis_server, prefix, client):
    async def score(layer):
        channel = await layer.new_channel()
        await layer.group_add("chat", channel)
        return client.zscore(f"{prefix}:group:chat", channel) - client.time()[0]

    for lease, expected in ((300, -86400 + 300), (None, 0), (10**6, 0), (7.5, -86400 + 7.5)):
        layer = aio_for(redis_server, group_lease=lease)
        assert asyncio.run(score(layer)) == pytest.approx(expected, abs=3)
    for wrong in (0, -1, "300", True, float("inf")):
        with pytest.raises(ConfigurationError, match="group_lease must be"):
            aio_for(redis_server, group_lease=wrong)


def test_what_is_no_channel_of_the_process_is_a_member_for_group_expiry(aio, server, prefix):
    async def run():
        for channel in ("work", "specific.other!one"):
            await aio.group_add("chat", channel)
            assert server.zscore(f"{prefix}:group:chat", channel) == pytest.approx(server.time()[0], abs=3)
        assert not aio._attendance.channels()

    asyncio.run(run())


@pytest.mark.parametrize("end", ["cancelled", "collected", "loop closed", "closed"])
def test_a_channel_that_is_not_received_from_any_more_is_a_member_no_more(aio, other, end):
    def leave():
        loop = asyncio.new_event_loop()

        async def begin():
            return await joined(aio, "chat")

        _, receiving = loop.run_until_complete(begin())
        if end == "cancelled":
            receiving.cancel()
            loop.run_until_complete(asyncio.wait([receiving]))
        elif end == "closed":
            loop.run_until_complete(aio.close())
            assert receiving.exception() is not None
        else:  # it stays pending
            receiving._log_destroy_pending = False
        loop.close()

    leave()
    gc.collect()
    asyncio.run(until_async(lambda: other.group_channels("chat") == [] and not aio._attendance.channels()))


def test_a_consumer_that_works_on_a_message_stays_in_its_groups(aio, other):
    async def run():
        channel, receiving = await joined(aio, "chat")
        await hears(aio, "chat", receiving)
        for _ in range(3):  # the time of a lease passes, in which nothing is received
            await a_round(aio)
        assert other.group_channels("chat") == [channel]

    asyncio.run(run())


def test_a_join_that_failed_is_not_made_up_for(aio, other, server, prefix, fresh_redis_server):
    async def run():
        channel, _ = await joined(aio, "stays")
        server.set(f"{prefix}:group:chat", "no group")
        with pytest.raises(ResponseError):
            await aio.group_add("chat", channel)
        server.delete(f"{prefix}:group:chat")
        fresh_redis_server.kill()
        with pytest.raises(ConnectionError):
            await aio.group_add("chat", channel)
        fresh_redis_server.start()
        await until(lambda: other.group_channels("stays") == [channel])
        await a_round(aio)
        assert other.group_channels("chat") == []

    asyncio.run(run())


def test_a_group_that_is_a_key_of_another_type_keeps_no_other_from_being_renewed(aio, other, server, prefix):
    async def run():
        channel, _ = await joined(aio, "chat", "news")
        server.set(f"{prefix}:group:chat", "no group")
        server.delete(f"{prefix}:joined:{aio.client_prefix}", f"{prefix}:group:news")  # as if the data were lost
        await until(lambda: other.group_channels("news") == [channel])
        server.delete(f"{prefix}:group:chat", f"{prefix}:joined:{aio.client_prefix}")
        await until(lambda: other.group_channels("chat") == [channel])

    asyncio.run(run())


def test_a_replica_that_becomes_the_master_without_the_last_join_gets_it_again(aio, other, server, prefix):
    ledger = f"{prefix}:joined:{aio.client_prefix}"

    async def run():
        channel, _ = await joined(aio, "old", "new")
        await a_round(aio)
        last = int(server.hget(ledger, "last"))
        with server.pipeline() as transaction:  # what such a replica has
            transaction.hset(ledger, "last", last - 1).zrem(f"{prefix}:group:new", channel)
            transaction.execute()
        await until(lambda: other.group_channels("new") == [channel])

    asyncio.run(run())


def test_nothing_but_a_look_now_and_then_is_asked_of_redis(aio_for, redis_server, client, eventually):
    """With the default lease there is a look each five seconds, however many memberships there are."""
    layer = aio_for(redis_server)

    async def run():
        _, receiving = await joined(layer, *(f"group{number}" for number in range(50)))
        (memberships,) = layer._memberships
        await until(lambda: memberships._round == 1 and memberships._wakeups.empty())
        await asyncio.sleep(0.2)  # the round is over
        before = client.info("stats")["total_commands_processed"]
        await asyncio.sleep(1)  # this is the time in which next to nothing must happen
        assert client.info("stats")["total_commands_processed"] - before <= 6
        receiving.cancel()

    asyncio.run(run())


def test_every_key_has_a_ttl_and_the_ledger_is_gone_before_a_membership_is(aio_for, redis_server, client, prefix):
    layer = aio_for(redis_server, group_lease=20)

    async def run():
        await joined(layer, "chat")
        await until(lambda: client.hget(f"{prefix}:joined:{layer.client_prefix}", "base") == b"0")

    asyncio.run(run())
    assert 0 < client.pttl(f"{prefix}:group:chat") <= 86_400_000
    assert 0 < client.pttl(f"{prefix}:joined:{layer.client_prefix}") <= 15_000


def test_data_that_are_lost_during_a_round_are_noticed(redis_server, client, prefix):
    shard = shard_at(redis_server)
    operations = MembershipOperations(Keys(prefix, f"{prefix}-meta:"), lambda: "me", 60, 10)
    one, two = Membership("chat", "specific.me!one", 1), Membership("chat", "specific.me!two", 2)
    for membership in (one, two):
        shard.execute(operations.join(membership))
    assert shard.execute(operations.look()) == (0, 2)
    shard.execute(operations.begin(2, 7))
    assert shard.execute(operations.renew([one])) == []
    client.delete(f"{prefix}:joined:me", f"{prefix}:group:chat")
    assert shard.execute(operations.renew([two])) == []  # put back: it was lost
    assert shard.execute(operations.end(2, 7)) is False
    shard.execute(operations.begin(2, 8))
    assert shard.execute(operations.renew([one, two])) == []
    assert shard.execute(operations.end(2, 8)) is True
    assert shard.execute(operations.look()) == (8, 2)
    client.zrem(f"{prefix}:group:chat", one.channel)
    assert shard.execute(operations.renew([one, two])) == [one]  # removed by somebody


def test_a_join_after_a_loss_does_not_hide_the_loss_of_those_before(redis_server, client, prefix):
    shard = shard_at(redis_server)
    operations = MembershipOperations(Keys(prefix, f"{prefix}-meta:"), lambda: "me", 60, 10)
    old, new = Membership("chat", "specific.me!old", 1), Membership("chat", "specific.me!new", 2)
    shard.execute(operations.join(old))
    client.delete(f"{prefix}:joined:me", f"{prefix}:group:chat")
    shard.execute(operations.join(new))
    shard.execute(operations.begin(2, 1))
    assert shard.execute(operations.renew([old, new])) == []
    assert sorted(client.zrange(f"{prefix}:group:chat", 0, -1)) == [b"specific.me!new", b"specific.me!old"]


@pytest.mark.soak
def test_after_a_failover_messages_arrive_again(aio_for, fresh_sentinel):
    host = {"sentinels": fresh_sentinel.sentinels, "master_name": fresh_sentinel.master_name}
    layer = aio_for(host, connection_kwargs=SOON["connection_kwargs"])

    async def run():
        channel, receiving = await joined(layer, "chat")
        fresh_sentinel.master.kill()
        await asyncio.wait_for(hears(layer, "chat", receiving), 30)
        assert layer.layer.group_channels("chat") == [channel]

    asyncio.run(run())


@pytest.mark.soak
def test_ten_thousand_memberships_are_put_back_in_under_a_second(aio_for, fresh_redis_server, server, prefix):
    layer = aio_for(fresh_redis_server)

    async def run():
        channels = [await layer.new_channel() for _ in range(100)]
        for channel in channels:
            await asyncio.gather(*(layer.group_add(f"group{number}", channel) for number in range(100)))
        (memberships,) = layer._memberships
        await until(lambda: memberships._wakeups.empty() and memberships._round)
        times = []
        for _ in range(3):
            server.flushdb()
            began = time.monotonic()
            back = threading.Event()
            memberships.restore(back.set)
            await until(back.is_set)
            times.append(time.monotonic() - began)
            assert all(server.zcard(f"{prefix}:group:group{number}") == 100 for number in range(100))
        assert min(times) < 1, times

    asyncio.run(run())


class Held:
    """A queue that keeps back renewals, and what comes behind them, until it is released."""

    def __init__(self, queue):
        self._queue, self._lock, self.kept, self._released = queue, threading.Lock(), [], False

    def submit(self, operation, future):
        with self._lock:
            if not self._released and (self.kept or operation.script is scripts.RENEW_MEMBERSHIPS):
                self.kept.append((operation, future))
                return future
        return self._queue.submit(operation, future)

    def release(self):
        with self._lock:
            self._released = True
            for operation, future in self.kept:
                self._queue.submit(operation, future)


def test_a_flush_comes_behind_a_renewal_that_is_on_its_way(aio_for, redis_server, prefix, client):
    layer = aio_for(redis_server)
    (memberships,) = layer._memberships

    async def run():
        held = memberships._queue = Held(memberships._queue)
        await layer.group_add("chat", await layer.new_channel())
        await until(lambda: held.kept)
        flushing = asyncio.ensure_future(layer.flush())
        await asyncio.wait({flushing}, timeout=0.3)  # it does not end
        held.release()
        await flushing
        _, future = held.kept[0]
        await until(future.done)

    asyncio.run(run())
    assert client.zcard(f"{prefix}:group:chat") == 0
