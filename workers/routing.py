"""
Which consumer gets which message.

A routing is a list of ``route`` and ``include`` entries, a dict from channel to consumer, or the dotted path
of either. The first entry that matches wins. Filters are regular expressions on fields of the message,
matched from the start of the field; their named groups become keyword arguments of the consumer. All as in
Channels 1.1.8.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterable, Mapping
from typing import Any, Callable, Optional, Protocol, Union

from asgi_redis.wire.names import queue_of
from workers.exceptions import RoutingError, RoutingImportError
from workers.importing import import_path
from workers.message import Message

Consumer = Callable[..., Any]
Match = Optional[tuple[Consumer, dict[str, Any]]]


class Routable(Protocol):
    """What an entry of a routing has to offer; ``Route`` and ``Include`` do."""

    def match(self, message: Message) -> Match:
        """Returns the consumer and its keyword arguments, or None."""

    def channel_names(self) -> set[str]:
        """Returns the channels to listen on."""


Routing = Union[str, Mapping[str, Union[Consumer, str]], Iterable[Routable]]


class Route:
    """
    One consumer on one or several channels.

    ``channels`` is a name or several, ``consumer`` a callable or its dotted path, each filter a pattern for
    the field of that name. Raises ``RoutingImportError`` for a path that leads nowhere and ``RoutingError``,
    which is a ``ValueError``, for a filter with a group that has no name.
    """

    def __init__(
        self,
        channels: str | bytes | Iterable[str | bytes],
        consumer: Consumer | str,
        **filters: str | bytes | re.Pattern[str],
    ) -> None:
        names = [channels] if isinstance(channels, (str, bytes)) else channels
        self.channels = [_text(name) for name in names]
        self._names = frozenset(self.channels)
        self.consumer: Consumer = _imported(consumer, "consumer") if isinstance(consumer, str) else consumer
        if not callable(self.consumer):
            raise RoutingError(f"the consumer for {'/'.join(self.channels)} is not callable: {consumer!r}")
        self.filters = {field: re.compile(_text(pattern)) for field, pattern in filters.items()}
        for field, pattern in self.filters.items():
            if pattern.groups != len(pattern.groupindex):
                raise RoutingError(
                    f"the filter {field} of {self} has a group without a name: use (?P<name>...) or (?:...)"
                )

    def match(self, message: Message) -> Match:
        """Returns the consumer and the named groups of all filters, or None when a filter does not match."""
        if message.channel.name not in self._names:
            return None
        found = _match_fields(self.filters, message)
        if found is None:
            return None
        return self.consumer, {name: value for match in found.values() for name, value in match.groupdict().items()}

    def channel_names(self) -> set[str]:
        """Returns the channels to listen on."""
        return set(self.channels)

    def __str__(self) -> str:
        filters = ", ".join(f"{field}={pattern.pattern}" for field, pattern in self.filters.items())
        return f"{'/'.join(self.channels)} ({filters}) -> {consumer_name(self.consumer)}"


class RouteClass(Route):
    """
    One class-based consumer, on the channels that its ``channel_names()`` returns.

    ``consumer`` is the class or its dotted path. Raises as ``Route`` does, and ``RoutingError`` for a consumer
    without ``channel_names``.
    """

    def __init__(self, consumer: Any, **filters: str | bytes | re.Pattern[str]) -> None:
        found = _imported(consumer, "consumer") if isinstance(consumer, str) else consumer
        if not callable(getattr(found, "channel_names", None)):
            raise RoutingError(f"route_class takes a consumer with a method channel_names, unlike {consumer!r}")
        super().__init__(found.channel_names(), found, **filters)


class Include:
    """
    Another routing, for messages whose fields start with the given prefixes.

    Each prefix is a pattern; the included entries see the field without the part that it matched, and its
    named groups are added to their keyword arguments. Raises as ``Route`` does for dotted paths.
    """

    def __init__(self, routing: Routing, **prefixes: str | bytes | re.Pattern[str]) -> None:
        self.routing = resolve_routing(routing)
        self.prefixes = {field: re.compile(_text(pattern)) for field, pattern in prefixes.items()}
        self._by_channel, self._on_any = _sorted_by_channel(self.routing)

    def match(self, message: Message) -> Match:
        """Returns the first match among the included entries, or None."""
        found = _match_fields(self.prefixes, message)
        if found is None:
            return None
        arguments: dict[str, Any] = {}
        if found:
            # A copy, for entries after this one are to see the whole field again.
            message = type(message)(dict(message.content), message.channel.name, message.channel_layer)
            for field, match in found.items():
                arguments.update(match.groupdict())
                message[field] = match.string[match.end() :]
        for entry in self._by_channel.get(message.channel.name, self._on_any):
            result = entry.match(message)
            if result is not None:
                return result[0], {**arguments, **result[1]}
        return None

    def channel_names(self) -> set[str]:
        """Returns the channels that the included entries listen on."""
        return {name for entry in self.routing for name in entry.channel_names()}


class Router:
    """A whole routing: ``channels`` is the set of names to listen on."""

    def __init__(self, routing: Routing) -> None:
        self._root = Include(routing)
        self.channels = self._root.channel_names()

    def match(self, message: Message) -> Match:
        """
        Returns the consumer for a message with its keyword arguments, or None.

        A message of a process-local channel, ``x.y!abc``, goes where one of ``x.y!`` would.
        """
        found = self._root.match(message)
        name = message.channel.name
        if found is None and "!" in name and not name.endswith("!"):
            found = self._root.match(type(message)(message.content, queue_of(name), message.channel_layer))
        return found

    def with_route(self, entry: Routable) -> Router:
        """Returns a routing that has ``entry``, too, in the last place."""
        return Router([self._root, entry])

    def with_websockets(self) -> Router:
        """
        Returns a routing that takes all messages of websockets, where this one listens to some of their channels.

        What no entry takes comes last: who connects is accepted, anything else is dropped. That is the rule of
        Channels 1.1.8's ``routing.Router.check_default``.
        """
        if not any(name.startswith("websocket.") for name in self.channels):
            return self
        return self.with_route(
            Include(
                [
                    Route("websocket.connect", connect_consumer),
                    Route(["websocket.receive", "websocket.disconnect"], null_consumer),
                ]
            )
        )


def connect_consumer(message: Any) -> None:
    """Accepts a client of a websocket."""
    message.reply_channel.send({"accept": True})


def null_consumer(message: Any) -> None:
    """Does nothing."""


def resolve_routing(routing: Routing) -> list[Routable]:
    """
    Returns the entries of a routing in any of its forms.

    Raises ``RoutingImportError`` when it is a dotted path that leads nowhere, ``RoutingError`` when it is no
    routing.
    """
    found: Any = _imported(routing, "channel routing") if isinstance(routing, str) else routing
    if isinstance(found, Mapping):
        return [Route(channel, consumer) for channel, consumer in found.items()]
    try:
        entries = list(found)
    except TypeError:
        entries = [found]
    for entry in entries:
        if not (hasattr(entry, "match") and hasattr(entry, "channel_names")):
            raise RoutingError(f"a routing is a list of route() and include(), or a dict; {entry!r} is neither")
    return entries


def consumer_name(consumer: Consumer) -> str:
    """Returns the name of a consumer for the log: ``module.function``, or the class of an instance."""
    if isinstance(consumer, functools.partial):
        consumer = consumer.func
    named = consumer if hasattr(consumer, "__qualname__") else type(consumer)
    return f"{named.__module__}.{named.__qualname__}"


def _sorted_by_channel(entries: list[Routable]) -> tuple[dict[str, list[Routable]], list[Routable]]:
    """
    Returns the entries that may match a message, in their order: by its channel, and for those of any other channel.

    An entry of another kind than those in here is asked about every message, also within an ``include``.
    """
    by_channel: dict[str, list[Routable]] = {}
    on_any: list[Routable] = []
    for entry in entries:
        if type(entry) in {Route, RouteClass} or (type(entry) is Include and not entry._on_any):
            for name in entry.channel_names():
                by_channel.setdefault(name, list(on_any)).append(entry)
        else:
            on_any.append(entry)
            for row in by_channel.values():
                row.append(entry)
    return by_channel, on_any


def _match_fields(patterns: dict[str, re.Pattern[str]], message: Message) -> dict[str, re.Match[str]] | None:
    found = {}
    for field, pattern in patterns.items():
        match = pattern.match(_text(message[field])) if field in message else None
        if match is None:
            return None
        found[field] = match
    return found


def _text(value: Any) -> Any:
    return value.decode("ascii") if isinstance(value, bytes) else value


def _imported(path: str, what: str) -> Any:
    return import_path(path, what, RoutingImportError)


# As they are written in a routing, after Django's urls.py.
route = Route
route_class = RouteClass
include = Include
