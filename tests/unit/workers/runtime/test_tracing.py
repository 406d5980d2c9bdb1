"""The spans of a worker: each consumer has one, linked to the sender's, and around all that it sends."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from opentelemetry import trace
from opentelemetry.trace import SpanKind

from asgi_redis import InMemoryChannelLayer, RedisChannelLayer
from asgi_redis.wire.message import TRACE_KEY
from tests.support.spans import Spans, is_child, links_to
from tests.support.spans import spans as spans
from tests.support.waiting import eventually
from tests.support.workers.processes import ROOT
from workers import Channel, ConsumeLater, Group, Worker, route
from workers.delay import CHANNEL
from workers.runtime.pool import Pool


@pytest.fixture
def layer() -> Iterator[InMemoryChannelLayer]:
    with InMemoryChannelLayer() as layer:
        yield layer


def work_off(layer: Any, *routes: Any, **settings: Any) -> None:
    assert Worker(layer, [route(*one) for one in routes], burst=True, **settings).run() == 0


def test_a_consumer_sees_nothing_of_it_and_runs_in_its_span(layer: InMemoryChannelLayer, spans: Spans) -> None:
    seen: list[Any] = []

    def consumer(message: Any) -> None:
        seen.append((message.content, trace.get_current_span().get_span_context().span_id))
        Channel("answers", channel_layer=layer).send({"n": 2})
        Group("all", channel_layer=layer).send({"n": 3}, immediately=True)

    async def coroutine(message: Any) -> None:
        consumer(message)

    layer.send("plain", {"n": 1})
    layer.send("coroutine", {"n": 1})
    work_off(layer, ("plain", consumer), ("coroutine", coroutine))
    assert [content for content, _ in seen] == [{"n": 1}] * 2
    for name in ("plain", "coroutine"):
        processed = spans.one(f"process {name}")
        assert links_to(processed, spans.one(f"send {name}"))
        assert processed.context.span_id in [span for _, span in seen]
        children = [span.name for span in spans.all() if is_child(span, processed)]
        assert sorted(children) == ["send answers", "send_group all"]
    assert spans.one("process plain").attributes["code.function.name"].endswith("<locals>.consumer")


def test_a_consumer_that_raises_ends_its_span_with_the_error(layer: InMemoryChannelLayer, spans: Spans) -> None:
    def consumer(message: Any) -> None:
        raise KeyError("missing")

    layer.send("a", {})
    work_off(layer, ("a", consumer))
    assert spans.one("process a").attributes["error.type"] == "KeyError"


def test_a_message_that_is_consumed_later_makes_a_chain(layer: InMemoryChannelLayer, spans: Spans) -> None:
    def consumer(message: Any) -> None:
        if message.get("__retries__", 0) < 2:
            raise ConsumeLater

    layer.send("a", {})
    work_off(layer, ("a", consumer))
    first, second, third = sorted(spans.named("process a"), key=lambda span: span.start_time)
    sends = sorted(spans.named("send a"), key=lambda span: span.start_time)
    assert [links_to(*pair) for pair in zip((first, second, third), sends)] == [True] * 3
    assert is_child(sends[1], first)
    assert is_child(sends[2], second)
    assert not any("error.type" in span.attributes for span in (first, second, third)), (
        "to be asked again is no error"
    )


def test_a_delayed_message_makes_a_chain_as_well(layer_for: Any, redis_server: Any, spans: Spans) -> None:
    layer: RedisChannelLayer = layer_for(redis_server)
    contents: list[Any] = []
    worker = Worker(layer, [route("later", lambda message: contents.append(message.content))])
    thread = threading.Thread(target=worker.run)
    thread.start()
    layer.send(CHANNEL, {"channel": "later", "content": {"n": 1}, "delay": 10})
    eventually(lambda: spans.named("process later"))
    worker.quiet()
    thread.join(20)
    assert contents == [{"n": 1}]
    assert links_to(spans.one(f"process {CHANNEL}"), spans.one(f"send {CHANNEL}"))
    assert is_child(spans.one("send later"), spans.one(f"process {CHANNEL}"))
    assert links_to(spans.one("process later"), spans.one("send later"))


def test_all_slots_make_spans_of_their_own(layer: InMemoryChannelLayer, spans: Spans) -> None:
    current: list[int] = []
    together = threading.Barrier(4)

    def consumer(message: Any) -> None:
        together.wait(10)
        current.append(trace.get_current_span().get_span_context().span_id)
        Channel(f"answer.{message['n']}", channel_layer=layer).send({})

    for number in range(8):
        layer.send("a", {"n": number})
    work_off(layer, ("a", consumer), pool=Pool(4))
    assert len(set(current)) == 8
    processed = {span.context.span_id: span for span in spans.all() if span.kind == SpanKind.CONSUMER}
    assert set(processed) == set(current)
    answers = [span for span in spans.all() if span.name.startswith("send answer")]
    assert len({span.parent.span_id for span in answers if span.parent}) == 8


GREENLETS = """
from gevent import monkey; monkey.patch_all()
import pytest, sys
sys.exit(pytest.main(["-q", "-p", "no:cacheprovider", "-p", "no:xdist", "-k", "{tests}", *{files!r}]))
"""


@pytest.mark.soak
def test_all_that_holds_for_greenlets() -> None:
    pytest.importorskip("gevent")
    files = [__file__, str(Path(__file__).with_name("test_contexts.py"))]
    done = subprocess.run(
        [sys.executable, "-c", GREENLETS.format(tests="slots or runs_in or sentry", files=files)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=50,
    )
    assert done.returncode == 0, done.stdout
    assert "3 passed" in done.stdout


def test_a_worker_without_spans_removes_the_context_too(layer: InMemoryChannelLayer) -> None:
    contents: list[Any] = []
    layer.send("a", {"n": 1, TRACE_KEY: {"traceparent": "00-1-2-00"}})
    work_off(layer, ("a", lambda message: contents.append(message.content)))
    assert contents == [{"n": 1}]
