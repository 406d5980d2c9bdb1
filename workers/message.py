"""Received messages as consumers see them."""

from __future__ import annotations

import copy
from collections.abc import ItemsView, KeysView, ValuesView
from typing import Any

from asgi_redis.layers.base import BaseChannelLayer
from workers.channel import Channel
from workers.channel import PendingMessageStore as PendingMessageStore
from workers.channel import pending_message_store as pending_message_store


class Message:
    """
    A received message; it is like a dict of its content.

    Attributes:
        content: The dict that was sent; for the consumer of a stream, with its payload as the text.
        received: The dict that was sent.
        channel: The channel that it was received from.
        reply_channel: The channel that its content names for the answer, or None.
        channel_layer: The layer of these channels.
        then: Channel and content of messages that the worker runs after this one, in the same slot. None where no
            worker runs it.
        channel_session: Set by the decorators of ``workers.sessions``, as is ``http_session``.
        user: Set by the decorators of ``workers.auth``.
    """

    # Absent unless they are set, as in Channels 1. ``__doomed__`` is true when a ConsumeLater would drop the message.
    __doomed__: bool
    channel_session: Any
    http_session: Any
    user: Any

    def __init__(self, content: dict[str, Any], channel_name: str, channel_layer: BaseChannelLayer) -> None:
        self.content = self.received = content
        self.channel_layer = channel_layer
        self.then: list[tuple[str, dict[str, Any]]] | None = None
        self.channel = Channel(channel_name, channel_layer=channel_layer)
        reply = content.get("reply_channel")
        self.reply_channel = Channel(reply, channel_layer=channel_layer) if reply else None

    def __getitem__(self, key: str) -> Any:
        return self.content[key]

    def __setitem__(self, key: str, value: Any) -> None:
        self.content[key] = value

    def __contains__(self, key: object) -> bool:
        return key in self.content

    def keys(self) -> KeysView[str]:
        """Return the keys of the content."""
        return self.content.keys()

    def values(self) -> ValuesView[Any]:
        """Return the values of the content."""
        return self.content.values()

    def items(self) -> ItemsView[str, Any]:
        """Return the items of the content."""
        return self.content.items()

    def get(self, key: str, default: Any = None) -> Any:
        """Return one value of the content, or ``default``."""
        return self.content.get(key, default)

    def copy(self) -> Message:
        """Return an independent copy of the message, at any depth."""
        return type(self)(copy.deepcopy(self.content), self.channel.name, self.channel_layer)
