"""One websocket under a server that ends it in ways of all kinds."""

from __future__ import annotations

import asyncio
import contextlib
import subprocess
import sys

import pytest

from asgi_redis import InMemoryChannelLayer, RedisChannelLayer
from asgi_redis.integrations.opentelemetry import processing
from asgi_redis.interface import Interface, websocket
from tests.support.async_waiting import until
from tests.support.spans import is_child, links_to
from tests.support.spans import spans as spans  # a fixture

pytestmark = pytest.mark.native("event loops in native threads")

SCOPE = {"type": "websocket", "path": "/", "headers": [], "extensions": {"websocket.http.response": {}}}


class Server:
    """A server with one client. While ``held`` is set, it writes no close."""

    def __init__(self, layer, interface=None):
        self.layer = layer
        self.interface = interface or Interface(layer)
        self.events = asyncio.Queue()
        self.sent = []
        self.held = asyncio.Event()
        self.released = asyncio.Event()
        self.released.set()
        self.events.put_nowait({"type": "websocket.connect"})
        self.connection = asyncio.ensure_future(self.interface(SCOPE, self.events.get, self._send))

    async def _send(self, event):
        if event["type"] == "websocket.close":
            self.held.set()
            await self.released.wait()
        self.sent.append(event)

    async def accepted(self):
        """Return the reply channel once the websocket is open."""
        channel = (await self.message("websocket.connect"))["reply_channel"]
        self.layer.send(channel, {"accept": True})
        await until(lambda: self.sent)
        return channel

    def frame(self, text):
        self.events.put_nowait({"type": "websocket.receive", "text": text})

    async def message(self, channel):
        """Return the next message of a channel."""
        await until(lambda: self.pending(channel))
        return self.layer.receive([channel])[1]

    def pending(self, channel):
        return self.layer.channel_statistics(channel)["messages_pending"]

    async def cancel(self):
        self.connection.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self.connection


def with_layer(scenario, **settings):
    with InMemoryChannelLayer(**settings) as layer:
        asyncio.run(scenario(layer))


@pytest.mark.parametrize("kind", ["memory", "redis"])
def test_all_messages_have_the_context_of_the_servers_span(spans, redis_server, prefix, kind):
    async def scenario(layer):
        with spans.provider.get_tracer("server").start_as_current_span("websocket"):
            server = Server(layer)
        reply = await server.accepted()  # by a message that has a context, too
        server.frame("text")
        received = await server.message("websocket.receive")
        layer.send(reply, {"text": "answer"})
        await until(lambda: len(server.sent) == 2)
        server.events.put_nowait({"type": "websocket.disconnect", "code": 1001})
        await server.connection
        disconnect = await server.message("websocket.disconnect")
        for channel, message in (("websocket.receive", received), ("websocket.disconnect", disconnect)):
            with processing(channel, message):
                assert message["reply_channel"] == reply
            assert is_child(spans.one(f"send {channel}"), spans.one("websocket"))
            assert links_to(spans.one(f"process {channel}"), spans.one(f"send {channel}"))

    if kind == "memory":
        with_layer(scenario)
    else:
        with RedisChannelLayer(hosts=[redis_server.url], prefix=prefix) as layer:
            asyncio.run(scenario(layer))


def test_the_number_of_a_frame_that_was_not_sent_is_free_for_the_disconnect():
    """A consumer that goes by the order would wait for a gap."""

    async def scenario(layer):
        server = Server(layer)
        await server.accepted()
        for text in "abc":
            server.frame(text)
        await until(server.events.empty)
        await until(lambda: server.pending("websocket.receive"))
        await server.cancel()
        disconnect = await server.message("websocket.disconnect")
        assert (disconnect["code"], disconnect["order"]) == (1012, 2)
        assert server.sent[-1] == {"type": "websocket.close", "code": 1012}

    with_layer(scenario, channel_capacity={"websocket.receive": 1})


def test_what_a_client_writes_after_the_close_is_not_passed_on():
    async def scenario(layer):
        server = Server(layer)
        channel = await server.accepted()
        server.released.clear()
        layer.send(channel, {"close": 4001})
        await server.held.wait()
        server.frame("too late")
        server.events.put_nowait({"type": "websocket.disconnect", "code": 1006})
        await server.connection
        disconnect = await server.message("websocket.disconnect")
        assert (disconnect["code"], disconnect["order"]) == (4001, 1)
        assert not server.pending("websocket.receive")

    with_layer(scenario)


def test_a_client_that_never_takes_the_close_is_left_after_some_seconds(monkeypatch):
    monkeypatch.setattr(websocket, "_CLOSE_SECONDS", 0.1)

    async def scenario(layer):
        server = Server(layer)
        channel = await server.accepted()
        server.released.clear()
        layer.send(channel, {"close": 4001})
        await asyncio.wait_for(server.connection, 20)
        assert (await server.message("websocket.disconnect"))["code"] == 4001

    with_layer(scenario)


def test_what_a_worker_replies_after_the_close_is_not_written():
    async def scenario(layer):
        server = Server(layer)
        channel = await server.accepted()
        other = Server(layer, server.interface)
        other_channel = await other.accepted()
        server.released.clear()
        layer.send(channel, {"close": True})
        await server.held.wait()
        layer.send(channel, {"text": "too late"})
        layer.send(other_channel, {"text": "it was looked at"})
        await until(lambda: len(other.sent) == 2)
        server.released.set()
        await server.connection
        await other.cancel()
        assert [event["type"] for event in server.sent] == ["websocket.accept", "websocket.close"]

    with_layer(scenario)


def test_a_handshake_that_the_end_of_a_server_cuts_may_be_tried_again():
    async def scenario(layer):
        server = Server(layer)
        await server.message("websocket.connect")
        await server.interface.close_sockets()
        start = {"type": "websocket.http.response.start", "status": 503, "headers": [(b"retry-after", b"1")]}
        assert server.sent[0] == start
        await server.connection

    with_layer(scenario)


def test_a_farewell_waits_for_longer_than_the_end_of_a_server(monkeypatch):
    monkeypatch.setattr(websocket, "LEAVING_SECONDS", 0)

    async def scenario(layer):
        layer.send("websocket.disconnect", {"another's": True})
        server = Server(layer)
        await server.accepted()
        server.events.put_nowait({"type": "websocket.disconnect", "code": 1000})
        await until(lambda: layer.channel_statistics("websocket.disconnect")["channel_full_count"] > 1)
        layer.receive(["websocket.disconnect"])
        assert (await server.message("websocket.disconnect"))["code"] == 1000
        await server.connection

    with_layer(scenario, channel_capacity={"websocket.disconnect": 1})


def test_the_end_of_a_server_is_not_held_up_by_a_farewell(monkeypatch):
    monkeypatch.setattr(websocket, "LEAVING_SECONDS", 0)

    async def scenario(layer):
        layer.send("websocket.disconnect", {"another's": True})
        server = Server(layer)
        await server.accepted()
        server.connection.cancel()
        await until(server.connection.done)

    with_layer(scenario, channel_capacity={"websocket.disconnect": 1})


def test_the_end_of_the_server_waits_for_farewells_of_websockets_that_it_has_cancelled():
    async def scenario(layer):
        layer.send("websocket.disconnect", {"another's": True})
        server = Server(layer)
        await server.accepted()
        while not server.connection.done():  # also while the farewell waits at the full channel
            server.connection.cancel()
            await asyncio.sleep(0)
        events, sent = asyncio.Queue(), []

        async def send(event):
            sent.append(event["type"])

        events.put_nowait({"type": "lifespan.startup"})
        events.put_nowait({"type": "lifespan.shutdown"})
        lifespan = asyncio.ensure_future(server.interface({"type": "lifespan"}, events.get, send))
        await until(events.empty)
        await until(lambda: server.pending("websocket.disconnect"))
        await server.message("websocket.disconnect")
        await lifespan
        assert sent == ["lifespan.startup.complete", "lifespan.shutdown.complete"]
        assert server.pending("websocket.disconnect")

    with_layer(scenario, channel_capacity={"websocket.disconnect": 1})


@pytest.mark.parametrize("forward", [True, False])
def test_a_worker_that_may_know_of_a_websocket_hears_of_its_end(layer_for, proxy, redis_server, forward):
    """The answer of Redis was lost: the handshake is refused."""
    direct = layer_for(redis_server.url)

    async def scenario(layer):
        proxy.cut_on(b"websocket.connect", forward=forward)
        server = Server(layer)
        await server.connection
        assert server.sent[0]["status"] == 503
        connect, disconnect = (direct.receive([f"websocket.{event}"])[1] for event in ("connect", "disconnect"))
        assert (disconnect["path"], disconnect["order"]) == ("/", 1)
        assert connect is None or connect["reply_channel"] == disconnect["reply_channel"]

    asyncio.run(scenario(layer_for(proxy.url)))


def test_a_worker_that_knows_nothing_of_a_websocket_hears_nothing_of_its_end():
    async def scenario(layer):
        layer.send("websocket.connect", {"another's": True})
        server = Server(layer)
        await server.connection
        assert server.sent[0]["status"] == 503
        assert not server.pending("websocket.disconnect")

    with_layer(scenario, channel_capacity={"websocket.connect": 1})


PROGRAM = """
import asyncio, sys
from asgi_redis import RedisChannelLayer
from asgi_redis.interface import Interface

layer = RedisChannelLayer(hosts=sys.argv[1:2], prefix=sys.argv[2])
interface = Interface(layer)

async def main():
    tasks.append(loop.create_task(serve("/waits", [])))
    tasks.append(loop.create_task(serve("/joined", [{"type": "websocket.connect"}])))
    while layer.receive(["websocket.connect"]) == (None, None):
        await asyncio.sleep(0.01)

async def serve(path, events):
    async def receive():
        return events.pop() if events else await loop.create_future()

    async def send(event):
        pass

    await interface({"type": "websocket", "path": path, "headers": []}, receive, send)

loop, tasks = asyncio.new_event_loop(), []
loop.run_until_complete(main())
"""


def test_websockets_of_a_loop_that_stands_still_part_at_the_exit(layer_for, redis_server, prefix):
    """Those that a worker knows of."""
    command = [sys.executable, "-W", "ignore", "-c", PROGRAM, redis_server.url, prefix]
    subprocess.run(command, check=True, timeout=40, capture_output=True)
    layer = layer_for(redis_server.url)
    disconnect = layer.receive(["websocket.disconnect"])[1]
    assert (disconnect["path"], disconnect["code"], disconnect["order"]) == ("/joined", 1012, 1)
    assert layer.receive(["websocket.disconnect"]) == (None, None)
