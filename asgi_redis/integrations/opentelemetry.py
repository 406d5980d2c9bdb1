"""
Spans of OpenTelemetry: of calls that send, and of consumers.

They follow the semantic conventions for messaging. The two are in different traces, as the conventions ask, and the
second has a link to the first: the context of the first travels in the message, under ``TRACE_KEY``. A message that
has such a context keeps it, and is sent without a span: it was received and is passed on, or an outer call has made
the span.

There are no spans without the extra ``opentelemetry``, and none before the program has set a ``TracerProvider``.
"""

from __future__ import annotations

import contextlib
import functools
import importlib.util
import logging
import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager
from types import TracebackType
from typing import TYPE_CHECKING, Any

from asgi_redis.process.version import __version__
from asgi_redis.wire.message import TRACE_KEY, Message

if TYPE_CHECKING:
    from opentelemetry.trace import Span, Tracer

logger = logging.getLogger("asgi_redis")

_SYSTEM = "asgi_redis"


def _is_installed() -> bool:
    return bool(importlib.util.find_spec("opentelemetry") and importlib.util.find_spec("opentelemetry.trace"))


IS_INSTALLED = _is_installed()
"""Whether there is opentelemetry-api."""


class ProducerSpan:
    """
    The span of a sending call: a context manager around the call.

    ``message`` is the message with the context of the span.
    """

    def __init__(self, span: Span, message: Message) -> None:
        self.message = message
        self._span = span

    def note(self, result: object) -> None:
        """Take down for how many channels a message to a group was dropped."""
        if type(result) is int and result:
            self._span.set_attribute("messaging.asgi_redis.dropped_count", result)

    @contextlib.contextmanager
    def failing(self) -> Iterator[None]:
        """End the span if the body raises."""
        try:
            yield
        except BaseException as error:
            self.__exit__(type(error), error, None)
            raise

    def abandon(self) -> None:
        """End the span of a message that was never attempted to be sent."""
        with _guarded():
            from opentelemetry.trace import StatusCode

            self._span.set_attribute("error.type", "not attempted")
            self._span.set_status(StatusCode.ERROR)
            self._span.end()

    def __enter__(self) -> None:
        pass

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        with _guarded():
            if error is not None:
                _set_error(self._span, error)
            self._span.end()


def begin_sending(operation: str, arguments: tuple[Any, ...]) -> ProducerSpan | None:
    """Begin the span of a call; None for a call without one."""
    if len(arguments) < 2 or not isinstance(arguments[0], str) or not isinstance(arguments[1], dict):
        return None  # the call will raise an error
    destination, message = arguments[:2]
    if TRACE_KEY in message:
        return None
    from opentelemetry import propagate, trace

    with _guarded():
        name, attributes = _description(operation, "send", destination)
        span = _tracer().start_span(name, kind=trace.SpanKind.PRODUCER, attributes=attributes)
        carrier: dict[str, str] = {}
        propagate.inject(carrier, trace.set_span_in_context(span))
        return ProducerSpan(span, {**message, TRACE_KEY: carrier} if carrier else message)
    return None


def processing(channel: str, message: Message, consumer: str = "") -> AbstractContextManager[None]:
    """
    Return a context manager, in which a message is to be handled.

    There the current span is a new one with a link to that of the sender, and the baggage is that of the sender. The
    sender's context is removed from the message, also where there are no spans.

    Args:
        channel: The channel that the message was received from.
        message: The message as a layer returns it.
        consumer: The name of the function or class that handles it, if known.
    """
    carrier = message.pop(TRACE_KEY, None)
    return _consumer_span(channel, carrier, consumer) if IS_INSTALLED and has_provider() else _NO_SPAN


_NO_SPAN = contextlib.nullcontext()


@contextlib.contextmanager
def _consumer_span(channel: str, carrier: object, consumer: str) -> Iterator[None]:
    from opentelemetry import context, propagate, trace

    span = token = None
    with _guarded():
        # Another program may have put anything there.
        valid = isinstance(carrier, dict) and all(isinstance(value, str) for value in carrier.values())
        around = context.get_current()
        sent = propagate.extract(carrier, context=around) if valid else around
        producer = trace.get_current_span(sent).get_span_context() if valid else trace.INVALID_SPAN_CONTEXT
        name, attributes = _description("process", "process", channel)
        if consumer:
            attributes = {**attributes, "code.function.name": consumer}
        span = _tracer().start_span(
            name,
            context=trace.set_span_in_context(trace.get_current_span(around), sent),
            kind=trace.SpanKind.CONSUMER,
            links=[trace.Link(producer)] if producer.is_valid else [],
            attributes=attributes,
        )
        token = context.attach(trace.set_span_in_context(span, sent))
    try:
        yield
    except BaseException as error:
        if span is not None:
            with _guarded():
                span.record_exception(error)
                _set_error(span, error)
        raise
    finally:
        if token is not None:
            context.detach(token)
        if span is not None:
            with _guarded():
                span.end()


@contextlib.contextmanager
def _guarded() -> Iterator[None]:
    """Log an error of OpenTelemetry or its plug-ins: messages are sent all the same."""
    try:
        yield
    except Exception:
        logger.exception("OpenTelemetry has failed; the message has no span")


def has_provider() -> bool:
    """Return whether the program has set a provider of spans."""
    trace = sys.modules.get("opentelemetry.trace")  # the program has not even imported it, where it is not there
    # get_tracer_provider() takes twenty times as long: it looks at the environment. A module without this variable
    # would make us ask its tracer each time, and no more.
    return trace is not None and getattr(trace, "_TRACER_PROVIDER", trace) is not None


@functools.lru_cache(maxsize=1)
def _tracer() -> Tracer:
    from opentelemetry import trace

    return trace.get_tracer(_SYSTEM, __version__)


@functools.lru_cache(maxsize=1024)
def _description(operation: str, kind: str, destination: str) -> tuple[str, dict[str, str | bool]]:
    """Return the name and the attributes of a span."""
    attributes: dict[str, str | bool] = {
        "messaging.system": _SYSTEM,
        "messaging.operation.name": operation,
        "messaging.operation.type": kind,
        "messaging.destination.name": destination,
    }
    template = _template(destination)
    if template != destination:
        attributes["messaging.destination.template"] = template
        attributes["messaging.destination.temporary"] = True
    return f"{operation} {template}", attributes


def _template(destination: str) -> str:
    """Return the name without the parts that are different for each process and reply."""
    for mark in "!?":
        before, found, _ = destination.partition(mark)
        if found and mark == "?":
            return f"{before}?*"
        if found:
            kind, dot, _ = before.rpartition(".")
            return f"{kind}{dot}*!*"
    return destination


def _set_error(span: Span, error: BaseException) -> None:
    from opentelemetry.trace import StatusCode

    kind = type(error)
    module = "" if kind.__module__ == "builtins" else f"{kind.__module__}."
    span.set_attribute("error.type", f"{module}{kind.__qualname__}")
    span.set_status(StatusCode.ERROR)
