"""
Test cases on layers in memory, and a client that runs consumers.

No worker runs in such a test: the test receives each message, and calls its consumer.
"""

from __future__ import annotations

import contextlib
import functools
import inspect
import random
import string
from collections.abc import Iterable, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any, Callable, ClassVar, TypeVar

from django.core.signals import request_finished, request_started
from django.db import close_old_connections
from django.test import TestCase, TransactionTestCase

from asgi_redis import InMemoryChannelLayer
from asgi_redis.integrations.django import get_channel_layer, register_layer
from workers.asgi import DEFAULT_CHANNEL_LAYER, ChannelLayerWrapper, channel_layers
from workers.channel import Group
from workers.exceptions import ChannelSocketException
from workers.loops.coroutines import run
from workers.message import Message
from workers.routing import Routable, Router, include
from workers.signals import consumer_finished, consumer_started

NO_CONTENT: Mapping[str, Any] = MappingProxyType({})

Decorated = TypeVar("Decorated", bound=Callable[..., Any])


class ChannelTestCaseMixin:
    """
    Has a layer in memory for each test, instead of the layer of the settings.

    ``Channel``, ``Group``, ``channel_layers`` and ``get_channel_layer`` use it, with the ``ROUTING`` of the settings.
    ``setUpTestData`` and the rest of ``setUpClass`` have another one.

    Attributes:
        test_channel_aliases: The aliases of the layers to replace.
    """

    test_channel_aliases: ClassVar[Sequence[str]] = [DEFAULT_CHANNEL_LAYER]

    @classmethod
    def setUpClass(cls) -> None:
        """Replace the layers until the class is done."""
        replaced = contextlib.ExitStack()
        replaced.enter_context(layers_in_memory(cls.test_channel_aliases))
        cls.addClassCleanup(replaced.close)  # type: ignore[attr-defined]  # of TestCase
        super().setUpClass()  # type: ignore[misc]  # likewise

    def run(self, result: Any = None) -> Any:
        """Run the test with empty layers."""
        with layers_in_memory(self.test_channel_aliases):
            return super().run(result)  # type: ignore[misc]  # of TestCase

    def debug(self) -> None:
        """Run the test likewise, without collecting its errors."""
        with layers_in_memory(self.test_channel_aliases):
            super().debug()  # type: ignore[misc]  # likewise

    def get_next_message(
        self, channel: str, alias: str = DEFAULT_CHANNEL_LAYER, require: bool = False
    ) -> Message | None:
        """Return the next message on a channel, or None; if it is required, fail."""
        message = next_message(channel, alias)
        if message is None and require:
            self.fail(f"no message on channel {channel}")  # type: ignore[attr-defined]  # of TestCase
        return message


class ChannelTestCase(ChannelTestCaseMixin, TestCase):
    """A ``django.test.TestCase`` with a layer in memory."""


class TransactionChannelTestCase(ChannelTestCaseMixin, TransactionTestCase):
    """A ``django.test.TransactionTestCase`` with a layer in memory."""


@contextlib.contextmanager
def layers_in_memory(aliases: Iterable[str]) -> Iterator[None]:
    """Have new ``InMemoryChannelLayer`` objects in the place of the layers of aliases."""
    before = {alias: register_layer(alias, InMemoryChannelLayer()) for alias in aliases}
    try:
        yield
    finally:
        for alias, layer in before.items():
            register_layer(alias, layer)


@contextlib.contextmanager
def connections_left_open() -> Iterator[None]:
    """
    Have views leave database connections as they are.

    At both ends of a request Django would close the connection of a test that is in a transaction.
    """
    for signal in (request_started, request_finished):
        signal.disconnect(close_old_connections)
    try:
        yield
    finally:
        for signal in (request_started, request_finished):
            signal.connect(close_old_connections)


def next_message(channel: str, alias: str) -> Message | None:
    """Return the next message on a channel, or None where there is none."""
    layer = get_channel_layer(alias)
    name, content = layer.receive([channel])
    return None if name is None or content is None else Message(content, name, layer)


class Client:
    """
    A client with a reply channel, which also does the work of a worker.

    Args:
        alias: The layer that it uses.
    """

    def __init__(self, alias: str = DEFAULT_CHANNEL_LAYER) -> None:
        self.alias = alias
        self.reply_channel = alias + "".join(random.SystemRandom().choices(string.ascii_letters, k=8))

    @property
    def channel_layer(self) -> ChannelLayerWrapper:
        """The layer with its routing."""
        return channel_layers[self.alias]

    def get_next_message(self, channel: str) -> Message | None:
        """Return the next message on a channel, or None."""
        return next_message(channel, self.alias)

    def get_consumer_by_channel(self, channel: str) -> Callable[..., Any] | None:
        """Return the consumer of an empty message on a channel, or None."""
        message = Message({"text": ""}, channel, self.channel_layer.channel_layer)
        match = self.channel_layer.router.match(message)
        return None if match is None else match[0]

    def send(self, to: str, content: Mapping[str, Any] = NO_CONTENT) -> None:
        """Send a message to a channel, with the reply channel of the client."""
        self.channel_layer.send(to, {"reply_channel": self.reply_channel, **content})

    def consume(self, channel: str, fail_on_none: bool = True) -> Any:
        """
        Run the consumer of the next message on a channel.

        The messages that it has sent go out when it is done. Exceptions pass through, but a
        ``ChannelSocketException`` acts on the message.

        Returns:
            The result of the consumer, which is its instance for a class-based consumer.

        Raises:
            AssertionError: There is no message, or no consumer for it; unless ``fail_on_none`` is false.
        """
        message = self.get_next_message(channel)
        match = None if message is None else self.channel_layer.router.match(message)
        if message is not None and match is not None:
            return self._run(message, *match)
        if fail_on_none:
            missing = "no message" if message is None else "no consumer for the message"
            raise AssertionError(f"{missing} on channel {channel}")
        return None

    def send_and_consume(
        self, channel: str, content: Mapping[str, Any] = NO_CONTENT, fail_on_none: bool = True
    ) -> Any:
        """Send a message to a channel, and run its consumer."""
        self.send(channel, content)
        return self.consume(channel, fail_on_none=fail_on_none)

    def receive(self) -> Any:
        """Return the content of the next message to the client, or None."""
        message = self.get_next_message(self.reply_channel)
        return None if message is None else message.content

    def join_group(self, group_name: str) -> None:
        """Add the client to a group."""
        Group(group_name, alias=self.alias).add(self.reply_channel)

    def _run(self, message: Message, consumer: Callable[..., Any], arguments: dict[str, Any]) -> Any:
        consumer_started.send(type(self), environ={})
        try:
            with connections_left_open():
                result = consumer(message, **arguments)
                return run(result) if inspect.iscoroutine(result) else result
        except ChannelSocketException as exception:
            exception.run(message)
        finally:
            consumer_finished.send(type(self))


class apply_routes:  # noqa: N801  as in Channels 1
    """
    Replaces the routing of layers: a context manager, and a decorator.

    It decorates functions, and test cases, where it holds from ``setUp`` on.

    Args:
        routes: A route, a list of routes, or a list of such lists.
        aliases: The layers.
    """

    def __init__(self, routes: Any, aliases: Sequence[str] = (DEFAULT_CHANNEL_LAYER,)) -> None:
        self.routes = routes
        self._aliases = aliases
        self._before: list[tuple[ChannelLayerWrapper, Any, Router]] = []

    def enter(self) -> None:
        """Replace the routing."""
        routes = _flat(self.routes)
        for alias in self._aliases:
            wrapper = channel_layers[alias]
            self._before.append((wrapper, wrapper.routing, wrapper.router))
            wrapper.routing, wrapper.router = routes, Router(routes)

    def exit(self, exc_type: object = None, exc_val: object = None, exc_tb: object = None) -> None:
        """Set the routing back."""
        for _ in self._aliases:
            wrapper, routing, router = self._before.pop()
            wrapper.routing, wrapper.router = routing, router

    __enter__ = enter
    __exit__ = exit  # noqa: A003  the method above, not the builtin

    def __call__(self, test_func: Decorated) -> Decorated:
        """Return the function in this context, or the class with it from its ``setUp`` on."""
        if isinstance(test_func, type):
            self._surround_tests(test_func)
            return test_func

        @functools.wraps(test_func)
        def inner(*args: Any, **kwargs: Any) -> Any:
            with self:
                return test_func(*args, **kwargs)

        return inner  # type: ignore[return-value]  # wraps() does not say that it has the same signature

    def _surround_tests(self, cls: Any) -> None:
        set_up = cls.setUp

        @functools.wraps(set_up)
        def enter_and_set_up(test: Any) -> None:
            self.enter()
            test.addCleanup(self.exit)
            set_up(test)

        cls.setUp = enter_and_set_up


def _flat(routes: Any) -> list[Routable]:
    if not isinstance(routes, (list, tuple)):
        return [routes]
    return [include(entry) if isinstance(entry, (list, tuple)) else entry for entry in routes]
