"""Servers that go away and come back, and scripts that they forget."""

from __future__ import annotations

import asyncio

import pytest
import redis
from redis.exceptions import ConnectionError

from tests.support.async_waiting import until, waits

pytestmark = pytest.mark.native("event loops in native threads")

HELLO = {"type": "hello"}
QUICK = {"connection_kwargs": {"socket_connect_timeout": 1}}


async def works(layer):
    """Whether a message can be sent."""
    try:
        await layer.send("probe", HELLO)
    except ConnectionError:
        return False
    return True


async def until_it_works(layer):
    while not await works(layer):
        await asyncio.sleep(0.01)


def test_who_waits_goes_on_waiting_while_redis_is_restarted(aio_for, fresh_redis_server, caplog):
    layer = aio_for(fresh_redis_server, **QUICK)

    async def run():
        channel = await layer.new_channel()
        waiting = [asyncio.ensure_future(layer.receive(name)) for name in ("work", channel)]
        await until(lambda: waits(layer, "work") and waits(layer, channel))
        fresh_redis_server.kill()
        with pytest.raises(ConnectionError):
            await layer.send("work", HELLO)
        fresh_redis_server.start()
        await asyncio.wait_for(until_it_works(layer), 10)
        await layer.send(channel, HELLO)
        await layer.send("work", HELLO)
        assert await asyncio.wait_for(asyncio.gather(*waiting), 10) == [HELLO, HELLO]

    asyncio.run(run())
    lines = [record.getMessage() for record in caplog.records if "serve" in record.getMessage()]
    assert len(lines) <= 2


def test_who_comes_when_redis_is_away_gets_the_error(aio_for, fresh_redis_server):
    layer = aio_for(fresh_redis_server, **QUICK)
    fresh_redis_server.kill()

    async def run():
        for _ in range(2):
            with pytest.raises(ConnectionError):
                await asyncio.wait_for(layer.receive("work"), 5)
            for call in (layer.send("work", HELLO), layer.group_add("chat", "work"), layer.group_send("chat", HELLO)):
                with pytest.raises(ConnectionError):
                    await asyncio.wait_for(call, 5)
        fresh_redis_server.start()
        await asyncio.wait_for(until_it_works(layer), 10)
        await layer.send("work", HELLO)
        assert await asyncio.wait_for(layer.receive("work"), 5) == HELLO

    asyncio.run(run())


def test_who_comes_during_an_outage_gets_the_error_while_others_go_on_waiting(aio_for, fresh_redis_server):
    layer = aio_for(fresh_redis_server, **QUICK)

    async def run():
        waiting = asyncio.ensure_future(layer.receive("work"))
        await until(lambda: waits(layer, "work"))
        fresh_redis_server.kill()
        await until(layer._mailboxes.receiver.is_down)
        with pytest.raises(ConnectionError):
            await asyncio.wait_for(layer.receive("work"), 10)
        fresh_redis_server.start()
        await asyncio.wait_for(until_it_works(layer), 10)
        await layer.send("work", HELLO)
        assert await asyncio.wait_for(waiting, 10) == HELLO

    asyncio.run(run())


def test_all_of_many_callers_get_the_error_when_redis_goes_away_under_them(aio_for, fresh_redis_server):
    layer = aio_for(fresh_redis_server, **QUICK)

    async def run():
        await layer.send("work", HELLO)
        fresh_redis_server.kill()
        calls = [layer.group_add("chat", f"member{number}") for number in range(100)]
        results = await asyncio.wait_for(asyncio.gather(*calls, return_exceptions=True), 10)
        assert all(isinstance(result, ConnectionError) for result in results)

    asyncio.run(run())


def test_a_shard_that_is_away_does_not_keep_the_others_from_serving(aio_for, three_fresh_redis_servers):
    layer = aio_for(*three_fresh_redis_servers, **QUICK)

    async def run():
        waiting = asyncio.ensure_future(layer.receive("work"))
        await until(lambda: waits(layer, "work"))
        three_fresh_redis_servers[1].kill()
        sent = 0
        while not sent:
            sent = not (await asyncio.gather(layer.send("work", HELLO), return_exceptions=True))[0]
        assert await asyncio.wait_for(waiting, 5) == HELLO

    asyncio.run(run())


def test_another_master_is_found_and_who_waits_goes_on_waiting_there(aio_for, fresh_sentinel):
    host = {"sentinels": fresh_sentinel.sentinels, "master_name": fresh_sentinel.master_name}
    layer = aio_for(host, **QUICK)

    async def run():
        channel = await layer.new_channel()
        waiting = asyncio.ensure_future(layer.receive(channel))
        await until(lambda: waits(layer, channel))
        fresh_sentinel.master.kill()
        while not waiting.done():
            await asyncio.gather(layer.send(channel, HELLO), return_exceptions=True)
            await asyncio.wait([waiting], timeout=0.1)
        assert await waiting == HELLO

    asyncio.run(asyncio.wait_for(run(), 30))


def test_scripts_that_redis_forgets_are_loaded_again(layer, client, prefix):
    async def run():
        for _ in range(3):
            client.script_flush()
            await asyncio.gather(*(layer.group_add("chat", f"member{number}") for number in range(20)))
            client.script_flush()
            assert await layer.group_send("chat", HELLO) == 0
            client.script_flush()
            await asyncio.gather(*(layer.send("work", {"number": number}) for number in range(20)))

    asyncio.run(run())
    assert client.zcard(f"{prefix}work") == 60
    assert client.zcard(f"{prefix}member7") == 3


def test_connections_that_redis_closes_are_replaced(layer, client):
    async def run():
        waiting = asyncio.ensure_future(layer.receive("work"))
        await until(lambda: waits(layer, "work"))
        client.execute_command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
        await asyncio.wait_for(until_it_works(layer), 10)
        await layer.send("work", HELLO)
        assert await asyncio.wait_for(waiting, 10) == HELLO

    asyncio.run(run())


def test_nothing_is_sent_twice_while_connections_die(aio_for, fresh_redis_server, caplog):
    layer = aio_for(fresh_redis_server, capacity=10_000)
    caplog.set_level("CRITICAL")

    async def run():
        results = []

        async def send(number):
            try:
                await layer.send("work", {"number": number})
            except ConnectionError:
                return
            results.append(number)

        for start in range(0, 2000, 100):
            sending = asyncio.gather(*(send(start + number) for number in range(100)))
            killing = asyncio.get_running_loop().run_in_executor(None, kill_clients, fresh_redis_server)
            await asyncio.gather(sending, killing)
        return results

    confirmed = asyncio.run(run())
    layer.layer.close()  # Redis has closed those connections, too
    received = []
    while batch := layer.layer.receive_batch(["work"], 10_000):
        received += [message["number"] for _, message in batch]
    assert len(received) == len(set(received))
    assert set(confirmed) <= set(received)


def kill_clients(server):
    with redis.Redis.from_url(server.url) as client:
        client.execute_command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
