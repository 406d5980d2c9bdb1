"""
Class-based consumers for websockets, and for several streams over one.

A consumer sends to its client by the reply channel, and so, like any consumer, when it is done.
"""

from __future__ import annotations

import inspect
import json
from collections.abc import Iterable, Mapping
from typing import Any, ClassVar, NoReturn

from workers.channel import Channel, Group
from workers.exceptions import SendNotAvailableOnDemultiplexer
from workers.generic.base import BaseConsumer, Handler
from workers.loops.coroutines import run
from workers.message import Message


class WebsocketConsumer(BaseConsumer):
    """
    One websocket: override ``connect``, ``receive`` and ``disconnect``.

    Attributes:
        path: The path of the request.
        groups: Joined on connect and left on disconnect.
        http_user: Whether the user of the HTTP session is moved to the channel session on connect. Needs Django.
        http_user_and_session: Likewise, and ``message.http_session`` is kept. Needs Django.
        strict_ordering: Whether the messages of a client are handled one after the other, in the order in which it
            sent them. Needs Django.
    """

    method_mapping: ClassVar[Mapping[str, str]] = {
        "websocket.connect": "raw_connect",
        "websocket.receive": "raw_receive",
        "websocket.disconnect": "raw_disconnect",
    }
    http_user: bool = False
    http_user_and_session: bool = False
    strict_ordering: bool = False
    groups: Iterable[str] | None = None

    def get_handler(self, message: Message, **kwargs: Any) -> Handler:
        """Return the handler. Raises ``ValueError`` for ``slight_ordering``."""
        if self.http_user or self.http_user_and_session:
            self.channel_session_user = True
        self.path = message["path"]
        handler = super().get_handler(message, **kwargs)
        if self.http_user_and_session:
            from workers.auth import channel_and_http_session_user_from_http  # here, because it needs Django

            handler = channel_and_http_session_user_from_http(handler)
        elif self.http_user:
            from workers.auth import channel_session_user_from_http  # likewise

            handler = channel_session_user_from_http(handler)
        if self.strict_ordering:
            from workers.sessions import enforce_ordering  # likewise

            ordered: Handler = enforce_ordering(handler)
            return ordered
        if getattr(self, "slight_ordering", False):
            raise ValueError("messages are always in slight order: remove slight_ordering = True")
        return handler

    def connection_groups(self, **kwargs: Any) -> Iterable[str]:
        """Return the names of the groups of every client, while it is connected."""
        return self.groups or []

    def raw_connect(self, message: Message, **kwargs: Any) -> Any:
        """Join the groups, then connect."""
        for group in self.connection_groups(**kwargs):
            Group(group, channel_layer=message.channel_layer).add(_reply_channel(message))
        return self.connect(message, **kwargs)

    def connect(self, message: Message, **kwargs: Any) -> Any:
        """Accept a client that connects. Raise ``DenyConnection`` to refuse it."""
        _reply_channel(self.message).send({"accept": True})

    def raw_receive(self, message: Message, **kwargs: Any) -> Any:
        """Receive the text of the message, or else its bytes."""
        if "text" in message:
            return self.receive(text=message["text"], **kwargs)
        return self.receive(bytes=message["bytes"], **kwargs)

    def receive(self, *args: Any, **kwargs: Any) -> Any:
        """Handle a frame from the client, its ``text`` or its ``bytes``."""

    def send(self, text: Any = None, bytes: Any = None, close: Any = False) -> None:  # noqa: A002 - Channels' name
        """
        Send a frame to the client, then close the connection if ``close`` is true.

        Args:
            text: The content of a text frame.
            bytes: The content of a binary frame.
            close: True, or a close code.

        Raises:
            ValueError: There is neither ``text`` nor ``bytes``.
        """
        _reply_channel(self.message).send(_frame(text, bytes, close))

    @classmethod
    def group_send(cls, name: str, text: Any = None, bytes: Any = None, close: Any = False) -> None:  # noqa: A002
        """Send a frame to all clients of the group ``name``; otherwise like ``send``."""
        Group(name).send(_frame(text, bytes, close))

    def close(self, status: Any = True) -> None:
        """Close the websocket; ``status`` may be a close code."""
        _reply_channel(self.message).send({"close": status})

    def raw_disconnect(self, message: Message, **kwargs: Any) -> Any:
        """Leave the groups, then disconnect."""
        for group in self.connection_groups(**kwargs):
            Group(group, channel_layer=message.channel_layer).discard(_reply_channel(message))
        return self.disconnect(message, **kwargs)

    def disconnect(self, message: Message, **kwargs: Any) -> Any:
        """Handle the end of the connection."""


class JsonWebsocketConsumer(WebsocketConsumer):
    """A ``WebsocketConsumer`` that receives and sends values as JSON."""

    def raw_receive(self, message: Message, **kwargs: Any) -> Any:
        """Decode the frame. Raises ``ValueError`` when it is not JSON in text."""
        if "text" not in message:
            raise ValueError("a frame without text: a JSON consumer takes no other")
        return self.receive(self.decode_json(message["text"]), **kwargs)

    def receive(self, content: Any, **kwargs: Any) -> Any:
        """Handle a value from the client."""

    def send(self, content: Any, close: Any = False) -> None:  # type: ignore[override]  # as in Channels 1
        """Send a value to the client; otherwise like ``WebsocketConsumer.send``."""
        super().send(text=self.encode_json(content), close=close)

    @classmethod
    def decode_json(cls, text: Any) -> Any:
        """Return the value that ``text`` stands for."""
        return json.loads(text)

    @classmethod
    def encode_json(cls, content: Any) -> str:
        """Return a value as text."""
        return json.dumps(content)

    @classmethod
    def group_send(cls, name: str, content: Any, close: Any = False) -> None:  # type: ignore[override]  # likewise
        """Send a value to all clients of the group ``name``."""
        WebsocketConsumer.group_send(name, cls.encode_json(content), close=close)


class WebsocketMultiplexer:
    """Sends on one stream: the argument ``multiplexer`` of the stream's consumer."""

    def __init__(self, stream: str, reply_channel: Channel) -> None:
        self.stream = stream
        self.reply_channel = reply_channel

    def send(self, payload: Any) -> None:
        """Send a value to the client, on this stream."""
        self.reply_channel.send(self.encode(self.stream, payload))

    @classmethod
    def encode_json(cls, content: Any) -> str:
        """Return a value as text; with Django, also one with dates, UUIDs and the like."""
        return json.dumps(content, default=_extended)

    @classmethod
    def encode(cls, stream: str, payload: Any) -> dict[str, Any]:
        """Return the message that holds a value for a stream."""
        return {"text": cls.encode_json({"stream": stream, "payload": payload})}

    @classmethod
    def group_send(cls, name: str, stream: str, payload: Any, close: Any = False) -> None:
        """Send a value on a stream to all clients of the group ``name``."""
        message = cls.encode(stream, payload)
        if close:
            message["close"] = True
        Group(name).send(message)


class WebsocketDemultiplexer(JsonWebsocketConsumer):
    """
    Several streams over one websocket.

    Frames are ``{"stream": name, "payload": {...}}``.

    All consumers see the client connect and disconnect.

    Attributes:
        consumers: The consumer of each stream, by name. It gets the payload as if it had come alone, and a
            ``multiplexer`` to answer with.
    """

    consumers: ClassVar[Mapping[str, Any]] = {}
    multiplexer_class: ClassVar[type[WebsocketMultiplexer]] = WebsocketMultiplexer

    def receive(self, content: Any, **kwargs: Any) -> Any:
        """Pass a frame to the stream's consumer. Raises ``ValueError`` without one."""
        if not (isinstance(content, dict) and "stream" in content and "payload" in content):
            raise ValueError("a multiplexed frame has a stream and a payload")
        stream, payload = content["stream"], content["payload"]
        if stream not in self.consumers:
            raise ValueError("a multiplexed frame for a stream that is in no use")
        if not isinstance(payload, dict):
            raise ValueError("the payload of a multiplexed frame is a dict")
        consumer = self.consumers[stream]
        # The frame stays as it was: the consumer may postpone it, or have it wait for its turn.
        self.message.content = {**self.message.content, "text": self.encode_json(payload)}
        if getattr(consumer, "send", None):
            # As in Channels 1: otherwise its messages would reach the client without its stream.
            consumer.send = self.send
        return consumer(self.message, **{**kwargs, "multiplexer": self._multiplexer(stream)})

    def connect(self, message: Message, **kwargs: Any) -> Any:
        """Accept the client, then call all consumers."""
        _reply_channel(self.message).send({"accept": True})
        self._call_all(message, kwargs)

    def disconnect(self, message: Message, **kwargs: Any) -> Any:
        """Call all consumers."""
        self._call_all(message, kwargs)

    def send(self, *args: Any, **kwargs: Any) -> NoReturn:
        """Raise ``SendNotAvailableOnDemultiplexer``."""
        raise SendNotAvailableOnDemultiplexer("send with the keyword argument multiplexer, which knows the stream")

    @classmethod
    def group_send(cls, name: str, *args: Any, **kwargs: Any) -> NoReturn:
        """Raise ``SendNotAvailableOnDemultiplexer``."""
        raise SendNotAvailableOnDemultiplexer(f"send to {name!r} with WebsocketMultiplexer.group_send")

    def _call_all(self, message: Message, kwargs: dict[str, Any]) -> None:
        for stream, consumer in self.consumers.items():
            result = consumer(message, **{**kwargs, "multiplexer": self._multiplexer(stream)})
            if inspect.iscoroutine(result):
                run(result)

    def _multiplexer(self, stream: str) -> WebsocketMultiplexer:
        return self.multiplexer_class(stream, _reply_channel(self.message))


def _reply_channel(message: Message) -> Channel:
    if message.reply_channel is None:
        raise ValueError(f"a message on channel {message.channel} has no reply_channel: a websocket's has one")
    return message.reply_channel


def _frame(text: Any, data: Any, close: Any) -> dict[str, Any]:
    message: dict[str, Any] = {}
    if close:
        message["close"] = close
    if text is not None:
        message["text"] = text
    elif data is not None:
        message["bytes"] = data
    else:
        raise ValueError("nothing to send: give text or bytes")
    return message


def _extended(value: Any) -> Any:
    try:
        from django.core.serializers.json import DjangoJSONEncoder
    except ImportError:
        raise TypeError(f"a {type(value).__name__} is not JSON") from None
    return DjangoJSONEncoder().default(value)
