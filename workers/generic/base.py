"""The base of all class-based consumers."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any, Callable, ClassVar

from workers.loops.coroutines import run
from workers.message import Message
from workers.routing import RouteClass, route_class

Handler = Callable[..., Any]


class BaseConsumer:
    """
    A consumer that calls another of its methods for each channel.

    The class is the consumer: an instance is made for each message, and handles it while it is made. It goes into
    a routing by ``route_class(TheConsumer, path=...)`` or ``TheConsumer.as_route(path=...)``. Methods may be
    ``async def``.

    Attributes:
        method_mapping: The name of the method for each channel.
        channel_session: Whether to wrap the method in the decorator of this name. It needs Django, and a method that
            is not ``async def``.
        channel_session_user: Likewise.
    """

    method_mapping: ClassVar[Mapping[str, str]] = {}
    channel_session: bool = False
    channel_session_user: bool = False

    def __init__(self, message: Message, **kwargs: Any) -> None:
        self.message = message
        self.kwargs = kwargs
        result = self.dispatch(message, **kwargs)
        if inspect.iscoroutine(result):
            run(result)

    @classmethod
    def channel_names(cls) -> set[str]:
        """Return the channels that this consumer listens on."""
        return set(cls.method_mapping)

    @classmethod
    def as_route(cls, attrs: dict[str, Any] | None = None, **kwargs: Any) -> RouteClass:
        """
        Return a route to this class, or to a subclass with other class attributes.

        ``kwargs`` are the filters of the route. Raises ``TypeError`` when ``attrs`` is not a dict.
        """
        if attrs is not None and not isinstance(attrs, dict):
            raise TypeError(f"attrs must be a dict of class attributes, not {attrs!r}")
        consumer = type(cls.__name__, (cls,), {"__module__": cls.__module__, **attrs}) if attrs else cls
        return route_class(consumer, **kwargs)

    def get_handler(self, message: Message, **kwargs: Any) -> Handler:
        """Return the method for the message's channel, in the decorators of the class."""
        handler: Handler = getattr(self, self.method_mapping[message.channel.name])
        if self.channel_session_user:
            from workers.auth import channel_session_user  # here, because it needs Django

            return channel_session_user(handler)
        if self.channel_session:
            from workers.sessions import channel_session  # likewise

            return channel_session(handler)
        return handler

    def dispatch(self, message: Message, **kwargs: Any) -> Any:
        """Call the handler, and return its result."""
        return self.get_handler(message, **kwargs)(message, **kwargs)
