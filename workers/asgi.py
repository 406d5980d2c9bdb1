"""
What the worker asks of a channel layer, and which layer an alias stands for.

Without Django there are no settings to look an alias up in, so a worker registers the layer that it was
started with; ``Group("chat").send(...)`` then works in its consumers as it does in a Django project.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from redis.exceptions import RedisError

from workers.exceptions import ConfigurationError
from workers.importing import import_path, reason

DEFAULT_CHANNEL_LAYER = "default"


class Reader(Protocol):
    """What a worker receives with; outages of a server are its business, and never raised."""

    @property
    def serving(self) -> bool:
        """Whether a server has answered the last call."""

    @property
    def complete(self) -> bool:
        """Whether the last call has looked at all the servers; it leaves out those that do not answer."""

    def receive_batch(
        self, channels: Sequence[str], limit: int, timeout: float = 0, limits: Mapping[str, int] | None = None
    ) -> list[tuple[str, dict[str, Any]]]:
        """
        Returns up to ``limit`` messages, no more than ``limits`` of a channel; waits ``timeout`` seconds for one.

        A channel of which ``limits`` is 0 is left out. They may be an ``asgi_redis.engine.limits.ReceiveLimits``.
        """

    def unblock(self) -> None:
        """Ends a ``receive_batch`` that waits, or else the next one."""

    def close(self) -> None:
        """Is called when no more will be received."""

    def settle(self, deadline: float) -> bool:
        """Waits for what may still bring messages, to put them back; returns whether that was by ``deadline``."""


class ChannelLayer(Protocol):
    """The calls of a synchronous channel layer that this package makes."""

    @property
    def ChannelFull(self) -> type[Exception]:  # noqa: N802 - the name is ASGI's
        """What ``send`` raises when the channel is full."""

    def send(self, channel: str, message: dict[str, Any]) -> None:
        """Sends to one channel."""

    def send_group(self, group: str, message: dict[str, Any]) -> Any:
        """Sends to all channels of a group."""

    def group_add(self, group: str, channel: str) -> None:
        """Adds a channel to a group."""

    def group_discard(self, group: str, channel: str) -> None:
        """Takes a channel out of a group."""

    def reader(self) -> Reader:
        """Returns what receives messages for one thread."""

    def close(self) -> None:
        """Gives the connections back."""


_registered: dict[str, ChannelLayer] = {}


def register_layer(alias: str, channel_layer: ChannelLayer) -> None:
    """Makes ``alias`` stand for ``channel_layer`` in this process, whatever Django's settings say."""
    _registered[alias] = channel_layer


def layer_from_path(path: str) -> ChannelLayer:
    """
    Returns the layer that ``module:object`` is, or that it returns when it is called.

    For an asynchronous layer that is around a synchronous one, that one. Raises ``ConfigurationError`` for what is
    none, and ``redis.exceptions.RedisError`` where a server is needed to make it.
    """
    found = import_path(path, "channel layer")
    try:
        made = found() if callable(found) else found
    except RedisError:
        raise
    except Exception as error:
        raise ConfigurationError(f"channel layer {path!r}: {reason(error)}") from error
    layer: Any = made if hasattr(made, "reader") else getattr(made, "layer", None)
    if not hasattr(layer, "reader"):
        raise ConfigurationError(
            f"{path!r} is no channel layer that a worker can receive from, nor a callable without arguments that "
            f"returns one, but {made!r}"
        )
    made_layer: ChannelLayer = layer
    return made_layer


def layer_for(alias: str) -> ChannelLayer:
    """
    Returns the registered layer for ``alias``, or else the one in Django's ``CHANNEL_LAYERS``.

    Raises ``asgi_redis.integrations.django.InvalidChannelLayerError`` when there is neither.
    """
    if alias in _registered:
        return _registered[alias]
    from asgi_redis.integrations.django import get_channel_layer  # here, because a registered layer may be any other

    layer: ChannelLayer = get_channel_layer(alias)
    return layer
