"""Spans of sending calls, and the context that they give to their messages."""

from __future__ import annotations

import asyncio
import gc
import logging
import subprocess
import sys
import time

import pytest
from opentelemetry import baggage, context, trace
from opentelemetry.sdk.trace import SpanProcessor
from opentelemetry.trace import SpanKind, StatusCode

from asgi_redis import InMemoryChannelLayer, RedisChannelLayer, RedisLocalChannelLayer, RedisPubSubChannelLayer, aio
from asgi_redis.integrations.opentelemetry import processing
from asgi_redis.wire import Witness
from asgi_redis.wire.message import TRACE_KEY
from examples.toy_layer import ToyChannelLayer
from tests.support.spans import is_child, links_to, spans  # noqa: F401  a fixture
from workers import Channel
from workers.channel import send_persistently

SETTINGS = {
    "plain": {},
    "encrypted": {"symmetric_encryption_keys": ["key"]},
    "json": {"serializer_format": "json"},
    "json encrypted": {"serializer_format": "json", "symmetric_encryption_keys": ["key"]},
}


@pytest.fixture(params=[*SETTINGS, "memory", "ipc", "local", "pub/sub", "toy"])
def any_layer(request, redis_server, prefix, tmp_path):
    hosts = {"hosts": [redis_server.url], "prefix": prefix}
    if request.param in SETTINGS:
        layer = RedisChannelLayer(**hosts, **SETTINGS[request.param])
    elif request.param == "ipc":
        pytest.importorskip("lmdb")
        from asgi_redis import IPCChannelLayer

        layer = IPCChannelLayer(path=str(tmp_path))
    elif request.param == "local":
        layer = RedisLocalChannelLayer(**hosts, local_layer=InMemoryChannelLayer())
    elif request.param == "pub/sub":
        layer = RedisPubSubChannelLayer(**hosts)
    else:
        layer = {"memory": InMemoryChannelLayer, "toy": ToyChannelLayer}[request.param]()
    with layer:
        yield layer


def receive(layer, channel):
    """Receives a message as a consumer that makes a span for it."""
    name, message = layer.receive([channel], block=True)
    with processing(name, message):
        assert TRACE_KEY not in message
    return message


def test_a_message_has_the_context_of_its_send(any_layer, spans):  # noqa: F811  the fixture
    name = "work"
    any_layer.receive([name])
    message = {"n": 1}
    any_layer.send(name, message)
    assert message == {"n": 1}, "the sender's own dict stays as it is"
    assert receive(any_layer, name) == {"n": 1}
    assert spans.names() == ["process work", "send work"]
    sent, processed = spans.one("send work"), spans.one("process work")
    assert links_to(processed, sent)
    assert dict(sent.attributes) == {
        "messaging.system": "asgi_redis",
        "messaging.operation.name": "send",
        "messaging.operation.type": "send",
        "messaging.destination.name": "work",
    }
    assert dict(processed.attributes) == {
        "messaging.system": "asgi_redis",
        "messaging.operation.name": "process",
        "messaging.operation.type": "process",
        "messaging.destination.name": "work",
    }
    assert sent.start_time <= sent.end_time


def test_a_message_to_a_group_has_one_span_that_all_members_link_to(any_layer, spans):  # noqa: F811
    channels = ["a.x", "b.x"] if isinstance(any_layer, RedisPubSubChannelLayer) else ["a", "own!b", "own!c"]
    for channel in channels:
        any_layer.receive([any_layer.non_local_name(channel)])
        any_layer.group_add("chat", channel)
    assert any_layer.group_send("chat", {"n": 1}) == 0
    for channel in channels:
        assert receive(any_layer, any_layer.non_local_name(channel)) == {"n": 1}
    assert [span.name for span in spans.all() if span.kind == SpanKind.PRODUCER] == ["send_group chat"]
    processed = [span for span in spans.all() if span.kind == SpanKind.CONSUMER]
    assert len(processed) == len(channels)
    assert all(links_to(span, spans.one("send_group chat")) for span in processed)


@pytest.mark.native("event loops in native threads")
@pytest.mark.parametrize("kind", ["redis", "memory", "pub/sub"])
def test_coroutines_have_spans_within_that_of_their_task(redis_server, prefix, spans, kind):  # noqa: F811
    hosts = {"hosts": [redis_server.url], "prefix": prefix}
    layer = {
        "redis": lambda: aio.RedisChannelLayer(**hosts),
        "memory": lambda: aio.AsyncChannelLayer(InMemoryChannelLayer()),
        "pub/sub": lambda: aio.RedisPubSubChannelLayer(**hosts),
    }[kind]()

    async def task(number):
        channel = await layer.new_channel()
        await layer.group_add(f"chat{number}", channel)
        with spans.provider.get_tracer("test").start_as_current_span(f"task {number}"):
            await layer.send(channel, {"n": number})
            await layer.group_send(f"chat{number}", {"n": number}, exclude=["other"])
        for _ in range(2):
            message = await layer.receive(channel)
            with processing(channel, message):
                assert message == {"n": number}

    async def main():
        await asyncio.gather(*map(task, range(3)))
        await layer.close()

    asyncio.run(main())
    for number in range(3):
        parent = spans.one(f"task {number}")
        sends = [span for span in spans.all() if is_child(span, parent)]
        assert sorted(span.attributes["messaging.operation.name"] for span in sends) == ["send", "send_group"]
        for sent in sends:
            assert sum(links_to(span, sent) for span in spans.all()) == 1


class TestNames:
    @pytest.mark.parametrize(
        ("channel", "template"),
        [
            ("websocket.send.1f2e!aa", "websocket.send.*!*"),
            ("specific.1f2e!", "specific.*!*"),
            ("p!x", "*!*"),
            ("http.response?abcdef", "http.response?*"),
        ],
    )
    def test_a_name_that_is_no_others_is_not_in_that_of_the_span(self, spans, channel, template):  # noqa: F811
        with InMemoryChannelLayer() as layer:
            layer.send(channel, {})
        sent = spans.one(f"send {template}")
        assert sent.attributes["messaging.destination.name"] == channel
        assert sent.attributes["messaging.destination.template"] == template
        assert sent.attributes["messaging.destination.temporary"] is True

    def test_a_consumer_has_its_name(self, spans):  # noqa: F811
        with processing("work", {}, "mysite.consumers.work"):
            pass
        processed = spans.one("process work")
        assert processed.attributes["code.function.name"] == "mysite.consumers.work"
        assert list(processed.links) == []
        with processing("work", {}):
            pass
        assert "code.function.name" not in spans.named("process work")[1].attributes


class TestArguments:
    def test_they_may_be_given_by_name(self, spans):  # noqa: F811
        with InMemoryChannelLayer() as layer:
            layer.send(message={"n": 1}, channel="a")
            layer.send("a", message={"n": 2})
            layer.group_send(group="g", message={}, exclude=["a"])
            assert spans.names() == ["send a", "send a", "send_group g"]
            assert [TRACE_KEY in layer.receive(["a"])[1] for _ in range(2)] == [True, True]

    @pytest.mark.parametrize(
        "call",
        [
            lambda layer: layer.send(),
            lambda layer: layer.send("a"),
            lambda layer: layer.send("a", {}, {}, {}),
            lambda layer: layer.send(None, {}),
            lambda layer: layer.send("a", []),
            lambda layer: layer.send_group("a", {}, nobody=["a"]),
        ],
    )
    def test_wrong_ones_raise_what_they_always_do(self, spans, call):  # noqa: F811
        with InMemoryChannelLayer() as layer, pytest.raises(TypeError):
            call(layer)


class TestErrors:
    def test_a_send_that_fails_says_why(self, spans):  # noqa: F811
        with InMemoryChannelLayer(capacity=1) as layer:
            layer.send("a", {})
            with pytest.raises(layer.ChannelFull):
                layer.send("a", {})
        assert [span.attributes.get("error.type") for span in spans.all()] == [
            None,
            "asgi_redis.exceptions.ChannelFull",
        ]
        assert [span.status.status_code for span in spans.all()] == [StatusCode.UNSET, StatusCode.ERROR]

    @pytest.mark.native("event loops in native threads")
    def test_a_coroutine_likewise(self, spans):  # noqa: F811
        async def main():
            layer = aio.AsyncChannelLayer(InMemoryChannelLayer())
            with pytest.raises(TypeError):
                await layer.send("a", {"n": object()})
            await layer.close()

        asyncio.run(main())
        assert spans.one("send a").attributes["error.type"] == "asgi_redis.exceptions.InvalidMessage"

    def test_a_group_send_tells_for_how_many_it_was_dropped(self, spans):  # noqa: F811
        with InMemoryChannelLayer(capacity=1) as layer:
            for channel in ("a", "b"):
                layer.group_add("g", channel)
                layer.send(channel, {})
            assert layer.send_group("g", {}) == 2
        assert spans.one("send_group g").attributes["messaging.asgi_redis.dropped_count"] == 2

    def test_a_consumer_that_raises_marks_its_span(self, spans):  # noqa: F811
        with pytest.raises(ValueError, match="no"), processing("a", {}):
            raise ValueError("no")
        processed = spans.one("process a")
        assert processed.attributes["error.type"] == "ValueError"
        assert processed.status.status_code == StatusCode.ERROR
        assert [event.name for event in processed.events] == ["exception"]

    def test_no_error_of_a_plug_in_costs_a_message(self, spans, caplog):  # noqa: F811
        class Broken(SpanProcessor):
            def on_start(self, span, parent_context=None):
                raise RuntimeError("broken")

            def on_end(self, span):
                raise RuntimeError("broken")

        spans.add(Broken())
        with InMemoryChannelLayer() as layer, caplog.at_level(logging.ERROR, "asgi_redis"):
            layer.send("a", {"n": 1})
            _, message = layer.receive(["a"])
            with processing("a", message):
                assert message == {"n": 1}
        assert any("OpenTelemetry has failed" in line for line in caplog.messages)

    @pytest.mark.parametrize(
        "wrong", ["text", ["list"], {"traceparent": 7}, {"traceparent": "nonsense"}, {7: "x"}, None]
    )
    def test_a_context_that_another_program_made_up_links_to_nothing(self, spans, wrong):  # noqa: F811
        message = {"n": 1, TRACE_KEY: wrong}
        with processing("a", message):
            assert message == {"n": 1}
        assert list(spans.one("process a").links) == []


class TestContext:
    def test_the_span_is_the_current_one_while_a_message_is_handled(self, spans):  # noqa: F811
        with InMemoryChannelLayer() as layer:
            with processing("a", {}):
                layer.send("b", {})
            assert is_child(spans.one("send b"), spans.one("process a"))
            assert not trace.get_current_span().get_span_context().is_valid

    def test_the_senders_baggage_comes_along(self, spans):  # noqa: F811
        with InMemoryChannelLayer() as layer:
            token = context.attach(baggage.set_baggage("user", "7"))
            layer.send("a", {})
            context.detach(token)
            _, message = layer.receive(["a"])
            assert baggage.get_baggage("user") is None
            with processing("a", message):
                assert baggage.get_baggage("user") == "7"
            assert baggage.get_baggage("user") is None

    def test_a_message_that_is_passed_on_keeps_its_context(self, spans):  # noqa: F811
        with InMemoryChannelLayer() as layer:
            layer.send("a", {"n": 1})
            _, message = layer.receive(["a"])
            before = dict(message)
            layer.send("b", message)
            assert layer.receive(["b"])[1] == before
        assert spans.names() == ["send a"]

    def test_a_subclass_that_overrides_send_makes_one_span(self, spans, redis_server, prefix):  # noqa: F811
        class Counting(RedisChannelLayer):
            seen = []

            def send(self, channel, message):
                self.seen.append(dict(message))
                super().send(channel, message)

        with Counting(hosts=[redis_server.url], prefix=prefix) as layer:
            layer.send("a", {"n": 1})
            assert layer.seen == [{"n": 1}]
            layer.group_add("g", "a")
            layer.group_add("g", "b")
            layer.send_group("g", {"n": 2})
        assert spans.names() == ["send a", "send_group g"]

    def test_a_delayed_message_keeps_the_context_of_its_sender(self, spans, redis_server, prefix):  # noqa: F811
        with RedisChannelLayer(hosts=[redis_server.url], prefix=prefix) as layer:
            layer.delayed.send("a", {"n": 1}, 0)
            layer.delayed.deliver()
            assert receive(layer, "a") == {"n": 1}
        assert spans.names() == ["process a", "send a"]
        assert links_to(spans.one("process a"), spans.one("send a"))


class TestRepeatedSends:
    def test_a_pending_message_has_one_span(self, spans, redis_server, prefix):  # noqa: F811
        with RedisChannelLayer(hosts=[redis_server.url], prefix=prefix) as layer:
            send_persistently(Channel("a", channel_layer=layer), {"n": 1}, time.monotonic())
            assert receive(layer, "a") == {"n": 1}
        assert spans.names() == ["process a", "send a"]
        assert links_to(spans.one("process a"), spans.one("send a"))

    def test_each_attempt_has_one(self, spans, redis_server, prefix):  # noqa: F811
        with RedisChannelLayer(hosts=[redis_server.url], prefix=prefix, capacity=1) as layer:
            layer.send("a", {"n": 0})
            attempt = layer.repeatable_send("a", {"n": 1}, Witness("sender", 1))
            for _ in range(2):
                with pytest.raises(layer.ChannelFull):
                    attempt()
            receive(layer, "a")
            spans.clear()
            attempt()
            receive(layer, "a")
        assert spans.names() == ["process a", "send a"]
        assert not links_to(spans.one("process a"), spans.one("send a")), "it links to the first attempt"

    def test_one_that_is_given_up_before_the_first_attempt_ends(self, spans, redis_server, prefix):  # noqa: F811
        """As in the interface, where it waits behind others until its time is over."""
        with RedisChannelLayer(hosts=[redis_server.url], prefix=prefix) as layer:
            attempt = layer.repeatable_send("a", {"n": 1}, Witness("sender", 1))
            assert spans.names() == []
            del attempt
            gc.collect()
        assert spans.one("send a").attributes["error.type"] == "not attempted"
        assert not spans.one("send a").status.is_ok

    def test_a_message_that_cannot_be_sent_has_one(self, spans, redis_server, prefix):  # noqa: F811
        with RedisChannelLayer(hosts=[redis_server.url], prefix=prefix) as layer, pytest.raises(TypeError):
            layer.repeatable_send("a", {"n": object()}, Witness("sender", 1))
        assert spans.one("send a").attributes["error.type"] == "asgi_redis.exceptions.InvalidMessage"


WITHOUT = """
import sys
if {blocked}:
    sys.modules["opentelemetry"] = None
import asgi_redis
from asgi_redis.integrations.opentelemetry import has_provider, processing
if not {blocked}:
    from opentelemetry import trace

    assert not has_provider()
layer = asgi_redis.InMemoryChannelLayer()
assert hasattr(type(layer).send, "__wrapped__") is not {blocked}
layer.send("a", {{"n": 1}})
assert layer.receive(["a"]) == ("a", {{"n": 1}})
message = {{"n": 1, "__asgi_trace__": {{"traceparent": "x"}}}}
with processing("a", message):
    assert message == {{"n": 1}}
assert "opentelemetry.sdk" not in sys.modules
if not {blocked}:
    trace.set_tracer_provider(trace.NoOpTracerProvider())
    assert has_provider(), "by the variable of the module that is looked at"
    layer.send("a", {{"n": 1}})
    assert layer.receive(["a"]) == ("a", {{"n": 1}})
print("done")
"""


@pytest.mark.parametrize("blocked", [True, False], ids=["without the extra", "without a provider"])
def test_nothing_is_added_to_a_message(blocked):
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", WITHOUT.format(blocked=blocked)],
        capture_output=True,
        text=True,
        timeout=30,
    )
    assert (done.stdout, done.stderr) == ("done\n", "")
