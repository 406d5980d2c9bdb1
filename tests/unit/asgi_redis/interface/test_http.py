"""A request whose server ends it."""

from __future__ import annotations

import asyncio
import contextlib

import pytest
from redis.exceptions import ConnectionError

from asgi_redis import InMemoryChannelLayer
from asgi_redis.aio import AsyncChannelLayer
from asgi_redis.integrations.opentelemetry import processing
from asgi_redis.interface import Interface
from tests.support.async_waiting import until
from tests.support.spans import is_child, links_to
from tests.support.spans import spans as spans

SCOPE = {"type": "http", "method": "GET", "path": "/", "headers": []}


@pytest.mark.parametrize("begun", [True, False])
def test_a_worker_hears_of_a_request_that_the_server_cancels(begun):
    """Otherwise its slot waits for acknowledgements that never come."""

    async def scenario(layer):
        events = asyncio.Queue()
        await events.put({"type": "http.request", "body": b"x", "more_body": True})
        sent = []

        async def send(event):
            sent.append(event)

        connection = asyncio.create_task(Interface(layer)(SCOPE, events.get, send))
        await events.put({"type": "http.request", "body": b"x" * 1_000_000, "more_body": True})
        await until(lambda: layer.channel_statistics("http.request")["messages_pending"])
        _, message = layer.receive(["http.request"])
        if begun:
            reply = {"status": 200, "headers": [], "content": b"part", "more_content": True}
            layer.send(message["reply_channel"], reply)
            await until(lambda: len(sent) == 2)
        connection.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await connection
        body = []
        while not body or body[-1] is not None:
            body.append(layer.receive([message["body_channel"]])[1])
        assert body[-2] == {"closed": True}
        assert layer.receive([message["ack_channel"]])[1] == {"closed": True}
        assert layer.receive(["http.disconnect"])[1] == {"reply_channel": message["reply_channel"], "path": "/"}

    with InMemoryChannelLayer() as layer:
        asyncio.run(scenario(layer))


def test_a_request_has_the_context_of_the_current_span_and_its_answer_may_have_one(spans):
    async def scenario(layer):
        events = asyncio.Queue()
        await events.put({"type": "http.request", "body": b"", "more_body": False})
        sent = []

        async def send(event):
            sent.append(event)

        with spans.provider.get_tracer("server").start_as_current_span("GET"):
            connection = asyncio.create_task(Interface(layer)(SCOPE, events.get, send))
        await until(lambda: layer.channel_statistics("http.request")["messages_pending"])
        channel, message = layer.receive(["http.request"])
        with processing(channel, message):
            layer.send(message["reply_channel"], {"status": 200, "headers": [], "content": b"answer"})
        await connection
        assert [event.get("body") for event in sent] == [None, b"answer"]
        assert is_child(spans.one("send http.request"), spans.one("GET"))
        assert links_to(spans.one("process http.request"), spans.one("send http.request"))

    with InMemoryChannelLayer() as layer:
        asyncio.run(scenario(layer))


def test_a_worker_hears_of_a_last_part_that_is_lost():
    """Otherwise its view waits for the rest of the body."""

    class LastPartLost(AsyncChannelLayer):
        async def send(self, channel, message):
            if message.get("more_content") is False:
                raise ConnectionError("lost")
            await super().send(channel, message)

    async def scenario(layer):
        events = asyncio.Queue()
        await events.put({"type": "http.request", "body": bytes(200_000), "more_body": False})
        sent = []

        async def send(event):
            sent.append(event)

        await Interface(LastPartLost(layer))(SCOPE, events.get, send)
        assert sent[0]["status"] == 503
        (_, request) = layer.receive(["http.request"])
        assert layer.receive([request["body_channel"]])[1] == {"closed": True}

    with InMemoryChannelLayer() as layer:
        asyncio.run(scenario(layer))
