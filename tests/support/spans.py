"""The spans of a test: a provider of OpenTelemetry's SDK that is there while a test records."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import NoOpTracerProvider, SpanKind


class SwitchedProvider(trace.TracerProvider):
    """A provider can be set once in a process: this one makes no spans but in tests that ask for them."""

    def __init__(self) -> None:
        self.used: trace.TracerProvider = NoOpTracerProvider()

    def get_tracer(self, *arguments: Any, **named: Any) -> trace.Tracer:
        return _SwitchedTracer(self, arguments, named)


class _SwitchedTracer(trace.Tracer):
    def __init__(self, provider: SwitchedProvider, arguments: Any, named: Any) -> None:
        self._provider, self._arguments, self._named = provider, arguments, named

    def _tracer(self) -> trace.Tracer:
        return self._provider.used.get_tracer(*self._arguments, **self._named)

    def start_span(self, *arguments: Any, **named: Any) -> trace.Span:
        return self._tracer().start_span(*arguments, **named)

    def start_as_current_span(self, *arguments: Any, **named: Any) -> Any:
        return self._tracer().start_as_current_span(*arguments, **named)


PROVIDER = SwitchedProvider()


class Spans:
    """The spans that have ended, by their names."""

    def __init__(self) -> None:
        self._exporter = InMemorySpanExporter()
        self.provider = TracerProvider()
        self.provider.add_span_processor(SimpleSpanProcessor(self._exporter))

    def all(self) -> list[ReadableSpan]:
        return list(self._exporter.get_finished_spans())

    def names(self) -> list[str]:
        return sorted(span.name for span in self.all())

    def named(self, name: str) -> list[ReadableSpan]:
        return [span for span in self.all() if span.name == name]

    def one(self, name: str) -> ReadableSpan:
        (span,) = self.named(name)
        return span

    def clear(self) -> None:
        self._exporter.clear()

    def add(self, processor: SpanProcessor) -> None:
        self.provider.add_span_processor(processor)


@pytest.fixture
def spans() -> Iterator[Spans]:
    """Record the spans of a test."""
    if trace.get_tracer_provider() is not PROVIDER:
        trace.set_tracer_provider(PROVIDER)
    recorded = Spans()
    PROVIDER.used = recorded.provider
    yield recorded
    PROVIDER.used = NoOpTracerProvider()
    recorded.provider.shutdown()


def links_to(consumer: ReadableSpan, producer: ReadableSpan) -> bool:
    """Returns whether a consumer's span has one link, to that of the sender, and is in another trace."""
    contexts = [link.context for link in consumer.links]
    kinds = (consumer.kind, producer.kind) == (SpanKind.CONSUMER, SpanKind.PRODUCER)
    return (
        kinds
        and [context.span_id for context in contexts] == [producer.context.span_id]
        and consumer.context.trace_id != producer.context.trace_id
    )


def is_child(child: ReadableSpan, parent: ReadableSpan) -> bool:
    return child.parent is not None and child.parent.span_id == parent.context.span_id
