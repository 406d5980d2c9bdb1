"""Channels and groups as consumers see them: a name and the layer that it lives on."""

from __future__ import annotations

from typing import Any

from asgi_redis.process.awaiting import refuse_await
from workers.asgi import DEFAULT_CHANNEL_LAYER, ChannelLayer, layer_for
from workers.pending import pending_messages


class _Destination:
    def __init__(
        self,
        name: str | bytes,
        alias: str = DEFAULT_CHANNEL_LAYER,
        channel_layer: ChannelLayer | None = None,
    ) -> None:
        self.name = name.decode("ascii") if isinstance(name, bytes) else name
        self.channel_layer = layer_for(alias) if channel_layer is None else channel_layer

    def __str__(self) -> str:
        return self.name

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.name!r}>"


class Channel(_Destination):
    """
    A channel to send to.

    ``name`` is its name (ASCII bytes are decoded); ``channel_layer`` the layer, by default the one that
    ``alias`` stands for.
    """

    def send(self, content: dict[str, Any], immediately: bool = False) -> None:
        """
        Sends ``content``: inside a consumer when the consumer is done, elsewhere or ``immediately`` at once.

        Raises ``TypeError`` when it is not a dict; when it goes at once, also what the layer raises, its
        ``ChannelFull`` among others.
        """
        refuse_await()
        if not isinstance(content, dict):
            raise TypeError(f"a message is a dict, not {type(content).__name__}")
        if immediately or not pending_messages.active:
            self.channel_layer.send(self.name, content)
        else:
            pending_messages.append(self, content)


class Group(_Destination):
    """
    A group of channels to send to at once.

    ``name`` is its name (ASCII bytes are decoded); ``channel_layer`` the layer, by default the one that
    ``alias`` stands for.
    """

    def add(self, channel: Channel | str) -> None:
        """Adds a channel at once; it stays until it is discarded, or for the layer's ``group_expiry``."""
        refuse_await()
        self.channel_layer.group_add(self.name, _name_of(channel))

    def discard(self, channel: Channel | str) -> None:
        """Takes a channel out at once; one that is not in is no error."""
        refuse_await()
        self.channel_layer.group_discard(self.name, _name_of(channel))

    def send(self, content: dict[str, Any], immediately: bool = False) -> None:
        """
        Sends ``content`` to every member: inside a consumer when it is done, elsewhere or ``immediately`` at
        once.

        Full channels are left out. Raises ``ValueError`` when it is not a dict (in Channels 1,
        ``Channel.send`` raises ``TypeError`` for the same; both are kept).
        """
        refuse_await()
        if not isinstance(content, dict):
            raise ValueError(f"a message is a dict, not {type(content).__name__}")
        if immediately or not pending_messages.active:
            self.channel_layer.send_group(self.name, content)
        else:
            pending_messages.append(self, content)


def _name_of(channel: Channel | str) -> str:
    return channel.name if isinstance(channel, Channel) else channel
