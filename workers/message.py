"""A received message as consumers see it."""

from __future__ import annotations

import copy
from collections.abc import ItemsView, KeysView, ValuesView
from typing import Any

from asgi_redis.layers.base import BaseChannelLayer
from workers.channel import Channel


class Message:
    """
    The content of a message, and where it came from.

    ``content`` is the dict that was sent, ``channel`` the channel that it was read from, ``reply_channel``
    the channel that its content names for the answer, or None.
    """

    # Set to true when a ConsumeLater would now drop the message; absent otherwise, as in Channels 1.
    __doomed__: bool

    def __init__(self, content: dict[str, Any], channel_name: str, channel_layer: BaseChannelLayer) -> None:
        self.content = content
        self.channel_layer = channel_layer
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
        """Returns the content's keys."""
        return self.content.keys()

    def values(self) -> ValuesView[Any]:
        """Returns the content's values."""
        return self.content.values()

    def items(self) -> ItemsView[str, Any]:
        """Returns the content's items."""
        return self.content.items()

    def get(self, key: str, default: Any = None) -> Any:
        """Returns one value of the content, or ``default``."""
        return self.content.get(key, default)

    def copy(self) -> Message:
        """Returns a message whose content can be changed, at any depth, without changing this one's."""
        return type(self)(copy.deepcopy(self.content), self.channel.name, self.channel_layer)
