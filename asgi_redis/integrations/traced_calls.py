"""Calls that send, each in a span of ``asgi_redis.integrations.opentelemetry``."""

from __future__ import annotations

import contextlib
import functools
import inspect
from collections.abc import Callable, Generator
from typing import Any, TypeVar

from asgi_redis.integrations.opentelemetry import IS_INSTALLED, ProducerSpan, begin_sending, has_provider
from asgi_redis.process.awaiting import PASSED_ON
from asgi_redis.wire.message import Message

F = TypeVar("F", bound=Callable[..., Any])

_OPERATIONS = {"send": "send", "send_group": "send_group", "group_send": "send_group"}  # of methods


class TracedCalls:
    """
    The base of classes with calls that send: a span for each call.

    These are the methods ``send``, ``send_group`` and ``group_send`` of this package's classes, and the ``send`` of
    layers of other projects that are not subclasses of these.
    """

    def __init_subclass__(cls, **arguments: Any) -> None:
        """Replace the methods by others that make spans, where OpenTelemetry is there."""
        super().__init_subclass__(**arguments)
        if not IS_INSTALLED:
            return
        traced: dict[Callable[..., Any], Callable[..., Any]] = {}  # two names of one method stay the same
        for name, operation in _OPERATIONS.items():
            method = vars(cls).get(name)
            if inspect.isfunction(method) and not _is_abstract(method) and _may_wrap(cls, name):
                if method not in traced:
                    traced[method] = _traced(method, operation)
                setattr(cls, name, traced[method])


def _may_wrap(cls: type, name: str) -> bool:
    if cls.__module__.partition(".")[0] == "asgi_redis":
        return True
    # An override calls the method that it overrides, as a rule, which makes the span.
    inherited = next((vars(base)[name] for base in cls.__mro__[1:] if name in vars(base)), None)
    return inherited is None or _is_abstract(inherited)


def _is_abstract(method: object) -> bool:
    return getattr(method, "__isabstractmethod__", False)


def _traced(method: Callable[..., Any], operation: str) -> Callable[..., Any]:
    """Return a method that calls ``method`` in a span."""
    names = list(inspect.signature(method).parameters)[1:3]

    def split(arguments: tuple[Any, ...], named: dict[str, Any]) -> tuple[Any, ...]:
        """Return the arguments with the destination and the message among them."""
        for name in names[len(arguments) :]:
            if name not in named:
                break
            arguments = (*arguments, named.pop(name))
        return arguments

    def traced_call(self: Any, *arguments: Any, **named: Any) -> Any:
        if not has_provider():
            return method(self, *arguments, **named)
        arguments = split(arguments, named)
        producer = begin_sending(operation, arguments)
        if producer is None:
            return method(self, *arguments, **named)
        with producer:
            result = method(self, arguments[0], producer.message, *arguments[2:], **named)
            producer.note(result)
        return result

    async def traced_coroutine(self: Any, *arguments: Any, **named: Any) -> Any:
        if not has_provider():
            return await method(self, *arguments, **named)
        arguments = split(arguments, named)
        producer = begin_sending(operation, arguments)
        if producer is None:
            return await method(self, *arguments, **named)
        with producer:
            result = await method(self, arguments[0], producer.message, *arguments[2:], **named)
            producer.note(result)
        return result

    assert traced_call.__code__.co_name == PASSED_ON
    return functools.wraps(method)(traced_coroutine if inspect.iscoroutinefunction(method) else traced_call)


class _TracedAttempts:
    """A function that plans attempts, each in a span."""

    def __init__(
        self, attempt: Callable[[], Generator[Any, Any, Any]], first: ProducerSpan, begin: Callable[[], Any]
    ) -> None:
        self._attempt = attempt
        self._first: ProducerSpan | None = first
        self._begin = begin

    def __call__(self) -> Generator[Any, Any, Any]:
        producer = self._first or self._begin()
        self._first = None
        with producer or contextlib.nullcontext():
            return (yield from self._attempt())

    def __del__(self) -> None:
        if self._first is not None:  # given up before the first attempt, as in a line of messages that wait
            self._first.abandon()


def traced_attempts(once: F) -> F:
    """
    Return a method like ``once``, which returns a function that plans attempts.

    The first attempt is in the span whose context the message has, and each further one in a span for itself.
    """
    if not IS_INSTALLED:
        return once

    @functools.wraps(once)
    def traced_once(self: Any, channel: str, message: Message, *others: Any) -> Any:
        first = begin_sending("send", (channel, message)) if has_provider() else None
        if first is None:
            return once(self, channel, message, *others)
        with first.failing():
            attempt = once(self, channel, first.message, *others)
        return _TracedAttempts(attempt, first, functools.partial(begin_sending, "send", (channel, message)))

    return traced_once  # type: ignore[return-value]  # functools.wraps knows no other type
