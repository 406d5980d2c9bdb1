"""Providers of credentials that fail for a while, such as a token service: an outage like any other, on all paths."""

from __future__ import annotations

import asyncio
import logging
import time

import pytest
import redis
from redis.credentials import CredentialProvider

from asgi_redis import RedisChannelLayer, RedisPubSubChannelLayer, aio
from asgi_redis.wire.names import shard_of
from tests.support.waiting import eventually
from workers import Worker, route
from workers.runtime.pool import Pool


class Tokens(CredentialProvider):
    """As those of cloud SDKs do, it raises what is no error of redis-py's."""

    fail = False

    def get_credentials(self):
        if self.fail:
            raise LookupError("token service is down")
        return "default", "any"


@pytest.fixture
def tokens():
    return Tokens()


@pytest.fixture
def server(fresh_redis_server):
    return fresh_redis_server


@pytest.fixture
def kill(server):
    """Has the server drop its connections, as it does with those whose token has expired."""

    def kill():
        with redis.Redis(port=server.port, protocol=2) as client:
            client.execute_command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
            client.execute_command("CLIENT", "KILL", "TYPE", "pubsub")

    return kill


@pytest.fixture
def settings(server, tokens):
    return {"hosts": [{"address": server.url, "credential_provider": tokens}]}


def outage(caplog):
    return [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]


def test_a_call_raises_a_connection_error_that_tells_what_it_was(settings, tokens):
    with RedisChannelLayer(**settings) as layer:
        tokens.fail = True
        with pytest.raises(redis.exceptions.ConnectionError, match="LookupError: token service is down") as raised:
            layer.send("work", {})
        assert isinstance(raised.value.__cause__, LookupError)
        tokens.fail = False
        layer.send("work", {})


@pytest.mark.parametrize("kind", [RedisChannelLayer, RedisPubSubChannelLayer])
def test_a_worker_goes_on_when_it_is_over(settings, tokens, kill, kind, caplog):
    received = []
    with kind(**settings) as layer:
        worker = Worker(layer, [route("work", lambda message: received.append(message["n"]))], pool=Pool(1))
        worker.start()
        try:
            with caplog.at_level(logging.WARNING):
                eventually(lambda: layer.send("work", {"n": 0}) or received, interval=0.1)
                tokens.fail = True
                kill()
                eventually(lambda: outage(caplog))
                tokens.fail = False
                eventually(lambda: len(outage(caplog)) == 2)
            eventually(lambda: layer.send("work", {"n": 1}) or 1 in received, interval=0.1)
            assert "does not serve messages" in outage(caplog)[0]
            assert "serves messages again" in outage(caplog)[1]
        finally:
            worker.quiet()
            worker.stop(time.monotonic() + 10)


def test_delayed_messages_wait_for_its_end(settings, tokens):
    with RedisChannelLayer(**settings) as layer:
        layer.delayed.send("work", {"n": 1}, 0)
        tokens.fail = True
        layer.close()
        with pytest.raises(redis.exceptions.ConnectionError, match="token service"):
            layer.delayed.deliver()
        tokens.fail = False
        layer.delayed.deliver()
        assert layer.receive(["work"]) == ("work", {"n": 1})


def test_other_shards_are_served(three_redis_servers, tokens, prefix):
    hosts = [server.url for server in three_redis_servers]
    hosts[1] = {"address": hosts[1], "credential_provider": tokens}
    names, n = {}, 0
    while len(names) < 3:
        names.setdefault(shard_of(f"m{n}!".encode(), 3), f"m{n}!x")
        n += 1
    group = next(f"g{n}" for n in range(100) if shard_of(f"g{n}".encode(), 3) == 0)
    with RedisChannelLayer(hosts=hosts, prefix=prefix) as layer:
        for name in names.values():
            layer.group_add(group, name)
        layer.close()
        tokens.fail = True
        with pytest.raises(redis.exceptions.ConnectionError, match="token service"):
            layer.send_group(group, {"n": 1})
        tokens.fail = False
        received = {shard: layer.receive([name[:-1]])[1] for shard, name in names.items()}
    assert received == {0: {"n": 1}, 1: None, 2: {"n": 1}}


def test_the_asynchronous_layer(settings, tokens, kill):
    async def go():
        layer = aio.RedisChannelLayer(**settings)
        await layer.send("work", {"n": 0})
        assert await layer.receive("work") == {"n": 0}
        waiting = asyncio.ensure_future(layer.receive("work"))
        await asyncio.sleep(0.1)
        tokens.fail = True
        kill()
        failures = []
        while not failures:
            try:
                await layer.group_add("chat", "work")
            except redis.exceptions.ConnectionError as error:
                failures.append(error)
        with pytest.raises(redis.exceptions.ConnectionError, match="token service"):
            await layer.group_add("chat", "work")
        tokens.fail = False
        await layer.send("work", {"n": 1})
        assert await asyncio.wait_for(waiting, 20) == {"n": 1}
        await layer.close()

    asyncio.run(go())


def test_those_of_the_sentinels(sentinel, tokens, prefix):
    host = {
        "sentinels": sentinel.sentinels,
        "master_name": sentinel.master_name,
        "sentinel_kwargs": {"credential_provider": tokens},
    }
    with RedisChannelLayer(hosts=[host], prefix=prefix) as layer:
        tokens.fail = True
        with pytest.raises(redis.exceptions.ConnectionError, match="token service"):
            layer.send("work", {})
        tokens.fail = False
        layer.send("work", {"n": 1})
        tokens.fail = True
        for shard in layer._shards:
            shard.server.host._ask_at = 0.0  # the Sentinels are to be asked again, which fails
        assert layer.receive(["work"]) == ("work", {"n": 1})
