"""Code of others that raises in the threads of the layers: the caller gets an error, and the threads live on."""

from __future__ import annotations

import asyncio

import pytest
import redis
from redis.credentials import CredentialProvider

from asgi_redis import InMemoryChannelLayer
from asgi_redis.aio import AsyncChannelLayer, RedisChannelLayer, RedisPubSubChannelLayer
from asgi_redis.exceptions import CallInterrupted
from asgi_redis.serializers import BaseMessageSerializer, registry
from tests.support.servers import ACL_PASSWORD, ACL_USER

pytestmark = pytest.mark.native("event loops in native threads")

HELLO = {"type": "hello"}
KINDS = [SystemExit, KeyboardInterrupt, GeneratorExit, StopIteration, asyncio.CancelledError]
MANY = 8  # more than there are threads


class Raising(BaseMessageSerializer):
    """Raises what the message asks for."""

    def as_bytes(self, message, *args, **kwargs):
        if "raise" in message:
            raise KINDS[message["raise"]]
        return b"{}"

    def from_bytes(self, message, *args, **kwargs):
        return dict(HELLO)


registry.register_serializer("raising", Raising)


@pytest.mark.parametrize("kind", range(len(KINDS)))
def test_a_serialiser_that_raises_anything_costs_no_thread(closing, kind):
    layer = closing(AsyncChannelLayer(InMemoryChannelLayer(serializer_format="raising")))

    async def run():
        for _ in range(MANY):
            # StopIteration is an Exception: the layer says what could not be serialised.
            with pytest.raises((CallInterrupted, TypeError)):
                await asyncio.wait_for(layer.send("work", {"raise": kind}), 10)
        await asyncio.wait_for(layer.send("work", HELLO), 10)
        assert await asyncio.wait_for(layer.receive("work"), 10) == HELLO

    asyncio.run(run())


class Provider(CredentialProvider):
    """Raises ``error`` while there is one."""

    error: type[BaseException] | None = None
    asked = 0

    def get_credentials(self):
        self.asked += 1
        if self.error is not None:
            raise self.error
        return ACL_USER, ACL_PASSWORD


@pytest.fixture
def provider():
    return Provider()


@pytest.fixture(params=[RedisChannelLayer, RedisPubSubChannelLayer])
def guarded(request, acl_server, provider, prefix, closing):
    host = {"host": acl_server.host, "port": acl_server.port, "credential_provider": provider}
    return closing(request.param([host], prefix=prefix))


@pytest.mark.parametrize("kind", [SystemExit, KeyboardInterrupt, StopIteration])
def test_a_credential_provider_that_raises_anything_costs_no_thread(guarded, provider, kind):
    async def run():
        provider.error = kind
        for _ in range(3):
            calls = guarded.send("work", HELLO), guarded.group_send("chat", HELLO), guarded.receive("work")
            outcomes = await asyncio.wait_for(asyncio.gather(*calls, return_exceptions=True), 10)
            # An Exception of a provider is an outage like any other.
            expected = redis.exceptions.ConnectionError if issubclass(kind, Exception) else CallInterrupted
            assert [type(outcome) for outcome in outcomes] == [expected] * 3
        provider.error = None
        channel = await asyncio.wait_for(until_listening(guarded), 10)
        await guarded.send(channel, HELLO)
        assert await asyncio.wait_for(guarded.receive(channel), 10) == HELLO

    asyncio.run(run())


async def until_listening(layer):
    """Return a channel of the layer, where the last error may still be raised."""
    while True:
        try:
            return await layer.new_channel()
        except (CallInterrupted, redis.exceptions.ConnectionError):
            await asyncio.sleep(0.01)


def test_who_waits_goes_on_when_a_provider_raises_while_connecting_anew(guarded, provider, acl_server):
    async def run():
        channel = await guarded.new_channel()
        waiting = asyncio.ensure_future(guarded.receive(channel))
        await guarded.send(channel, HELLO)
        assert await waiting == HELLO
        waiting = asyncio.ensure_future(guarded.receive(channel))
        asked, provider.error = provider.asked, SystemExit
        kill_clients(acl_server)
        while provider.asked < asked + 2 and not waiting.done():
            await asyncio.sleep(0.01)
        provider.error = None
        if waiting.done():  # with that error
            with pytest.raises(CallInterrupted):
                waiting.result()
            waiting = asyncio.ensure_future(guarded.receive(channel))
        while not waiting.done():
            await asyncio.gather(guarded.send(channel, HELLO), return_exceptions=True)
            await asyncio.wait([waiting], timeout=0.05)
        assert await waiting == HELLO

    asyncio.run(asyncio.wait_for(run(), 20))


def kill_clients(server):
    with redis.Redis(host=server.host, port=server.port, username=ACL_USER, password=ACL_PASSWORD) as client:
        client.execute_command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
        client.execute_command("CLIENT", "KILL", "TYPE", "pubsub", "SKIPME", "yes")


def test_a_capacity_that_cannot_be_told_costs_no_message_of_others(aio_for, redis_server, monkeypatch, caplog):
    """A subclass may raise anything; the receive thread asks it about channels without a waiter."""
    layer = aio_for(redis_server)
    local = layer.layer.client_prefix
    layer._mailboxes._capacity = lambda channel: exec("raise SystemExit")

    async def run():
        one, other = f"specific.{local}!one", f"specific.{local}!other"
        waiting = asyncio.ensure_future(layer.receive(one))
        for channel in (other, other, one):
            await layer.send(channel, {"channel": channel})
        assert await asyncio.wait_for(waiting, 10) == {"channel": one}
        assert await asyncio.wait_for(layer.receive(other), 10) == {"channel": other}

    asyncio.run(run())
    assert "capacity of channel" in caplog.text
