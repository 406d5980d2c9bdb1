"""
Routing: finds the consumer of a message.

A routing is a list of ``route`` and ``include`` entries, a dict from channel to consumer, or the dotted path of
either. The first entry that matches wins. Filters are regular expressions on fields of the message, matched from the
start of the field; their named groups become keyword arguments of the consumer. All as in Channels 1.1.8.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any, Callable, Optional, Protocol, Union, runtime_checkable

from asgi_redis.wire.names import queue_of
from workers.exceptions import RoutingError, RoutingImportError
from workers.importing import import_path
from workers.message import Message
from workers.utils import name_that_thing

Consumer = Callable[..., Any]
Match = Optional[tuple[Consumer, dict[str, Any]]]


@runtime_checkable
class Routable(Protocol):
    """An entry of a routing, such as ``Route`` and ``Include``."""

    def match(self, message: Message) -> Match:
        """Return the consumer and its keyword arguments, or None."""

    def channel_names(self) -> set[str]:
        """Return the channels to listen on."""


Routing = Union[str, Mapping[str, Union[Consumer, str]], Iterable[Routable]]


class Route(Routable):
    """
    One consumer on one or several channels.

    Args:
        channels: A name, or several.
        consumer: A callable, or its dotted path.
        filters: A pattern for each field that has to match.

    Raises:
        RoutingImportError: The path leads nowhere.
        RoutingError: A filter has a group without a name, or the consumer is not callable. It is a ``ValueError``.
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
        """Return the consumer and the named groups of all filters, or None."""
        if message.channel.name not in self._names:
            return None
        if not self.filters:
            return self.consumer, {}
        found = _match_fields(self.filters, message)
        if found is None:
            return None
        return self.consumer, {name: value for match in found.values() for name, value in match.groupdict().items()}

    def channel_names(self) -> set[str]:
        return set(self.channels)

    def __str__(self) -> str:
        filters = ", ".join(f"{field}={pattern.pattern}" for field, pattern in self.filters.items())
        return f"{'/'.join(self.channels)} ({filters}) -> {name_that_thing(self.consumer)}"


class RouteClass(Route):
    """
    One class-based consumer, on the channels that its ``channel_names()`` returns.

    Otherwise like ``Route``; raises ``RoutingError`` for a consumer without ``channel_names``.
    """

    def __init__(self, consumer: Any, **filters: str | bytes | re.Pattern[str]) -> None:
        found = _imported(consumer, "consumer") if isinstance(consumer, str) else consumer
        if not callable(getattr(found, "channel_names", None)):
            raise RoutingError(f"route_class takes a consumer with a method channel_names, unlike {consumer!r}")
        super().__init__(found.channel_names(), found, **filters)


class Include(Routable):
    """
    Another routing, or its path, for messages whose fields start with prefixes.

    Each prefix is a pattern. The included entries see the field without the part that it matched, and its named
    groups are added to their keyword arguments. Raises as ``resolve_routing`` does.
    """

    def __init__(self, routing: Routing, **prefixes: str | bytes | re.Pattern[str]) -> None:
        self.routing = resolve_routing(routing)
        self.prefixes = {field: re.compile(_text(pattern)) for field, pattern in prefixes.items()}
        self._by_channel, self.on_any_channel = _sorted_by_channel(self.routing)

    def match(self, message: Message) -> Match:
        """Return the first match among the included entries, or None."""
        found = _match_fields(self.prefixes, message)
        if found is None:
            return None
        arguments: dict[str, Any] = {}
        if found:
            # A copy: the entries after this one see the whole field again.
            message = type(message)(dict(message.content), message.channel.name, message.channel_layer)
            for field, match in found.items():
                arguments.update(match.groupdict())
                message[field] = match.string[match.end() :]
        for entry in self._by_channel.get(message.channel.name, self.on_any_channel):
            result = entry.match(message)
            if result is not None:
                return result[0], {**arguments, **result[1]}
        return None

    def channel_names(self) -> set[str]:
        return {name for entry in self.routing for name in entry.channel_names()}


class Router:
    """
    A whole routing.

    Attributes:
        root: Its entries, as one ``Include``.
        channels: The names to listen on.
    """

    def __init__(self, routing: Routing) -> None:
        self.root = Include(routing)
        self.channels = self.root.channel_names()

    def add_route(self, route: Routable) -> None:
        """Add an entry at the end. A worker that has been made does not see it."""
        self.root = Include([*self.root.routing, route])
        self.channels = self.root.channel_names()

    def match(self, message: Message) -> Match:
        """
        Return the consumer for a message with its keyword arguments, or None.

        A message of a process-local channel ``x.y!abc`` that no entry takes is routed as one of ``x.y!``.
        """
        found = self.root.match(message)
        name = message.channel.name
        if found is None and "!" in name and not name.endswith("!"):
            found = self.root.match(type(message)(message.content, queue_of(name), message.channel_layer))
        return found

    def with_route(self, entry: Routable) -> Router:
        """Return this routing with one more entry at its end."""
        return Router([*self.root.routing, entry])

    def with_websockets(self) -> Router:
        """
        Return a routing that takes all messages of websockets, if this one takes any.

        Where no other entry takes them, connections are accepted, and other messages are dropped. That is the rule
        of Channels 1.1.8's ``routing.Router.check_default``.
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
    """Accept a client of a websocket."""
    message.reply_channel.send({"accept": True})


def null_consumer(message: Message) -> None:
    """Ignore a message."""


def resolve_routing(routing: Routing) -> list[Routable]:
    """
    Return the entries of a routing in any of its forms.

    Raises:
        RoutingImportError: It is a dotted path that leads nowhere.
        RoutingError: It is no routing.
    """
    found: Any = _imported(routing, "channel routing") if isinstance(routing, str) else routing
    if isinstance(found, Mapping):
        return [Route(channel, consumer) for channel, consumer in found.items()]
    try:
        entries = list(found)
    except TypeError:
        entries = [found]
    for entry in entries:
        if not isinstance(entry, Routable):
            raise RoutingError(f"a routing is a list of route() and include(), or a dict; {entry!r} is neither")
    return entries


def _sorted_by_channel(entries: list[Routable]) -> tuple[dict[str, list[Routable]], list[Routable]]:
    """
    Return the entries for each channel, and those for all other channels.

    An entry of a class that is not defined here is asked about every message, also within an ``include``.
    """
    by_channel: dict[str, list[Routable]] = {}
    on_any: list[Routable] = []
    for entry in entries:
        if type(entry) in {Route, RouteClass} or (type(entry) is Include and not entry.on_any_channel):
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
