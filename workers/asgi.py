"""
Layers by alias and by path, and layers of ASGI 1.x of other projects.

Without Django there are no settings to look an alias up in, so a worker registers the layer that it was
started with; ``Group("chat").send(...)`` then works in its consumers as it does in a Django project.
"""

from __future__ import annotations

import contextlib
from collections.abc import Collection
from typing import Any

from redis.exceptions import RedisError

from asgi_redis.layers.base import BaseChannelLayer
from asgi_redis.wire.message import Batch, Message
from workers.exceptions import ConfigurationError
from workers.importing import import_path, reason

DEFAULT_CHANNEL_LAYER = "default"


class ForeignLayer(BaseChannelLayer):
    """
    Adapts a layer that is no ``BaseChannelLayer`` for the worker.

    The layer has a ``reader()``; calls that it lacks are those of ``BaseChannelLayer``. Its names are not checked.
    Consumers get the layer itself.
    """

    extensions = []

    def __init__(self, layer: Any) -> None:
        self._layer = layer
        for name in dir(BaseChannelLayer):
            if not name.startswith("_") and not isinstance(getattr(BaseChannelLayer, name), property):
                with contextlib.suppress(AttributeError):
                    vars(self)[name] = getattr(layer, name)

    def send(self, channel: str, message: Message) -> None:
        self._layer.send(channel, message)

    def receive_batch(self, channels: Collection[str], limit: int, timeout: float = 0) -> Batch:
        received: Batch = self._layer.receive_batch(channels, limit, timeout)
        return received

    def unblock(self) -> None:
        self._layer.unblock()

    def valid_channel_name(self, name: object, receive: bool = False) -> bool:
        """Return True: the layer has no rule for names."""
        return True

    @property
    def undecodable_count(self) -> int | None:
        number: int | None = getattr(self._layer, "undecodable_count", None)
        return number

    def __str__(self) -> str:
        return str(self._layer)


def adapted(channel_layer: Any) -> BaseChannelLayer:
    """
    Return ``channel_layer``, or a ``ForeignLayer`` of it.

    Raises:
        ConfigurationError: A worker cannot receive from it.
    """
    if isinstance(channel_layer, BaseChannelLayer):
        return channel_layer
    if not callable(getattr(channel_layer, "reader", None)):
        raise ConfigurationError(
            f"the worker cannot receive from {channel_layer}: its BACKEND has to be asgi_redis.RedisChannelLayer"
        )
    return ForeignLayer(channel_layer)


_registered: dict[str, BaseChannelLayer] = {}


def register_layer(alias: str, channel_layer: BaseChannelLayer) -> None:
    """Make ``alias`` stand for a layer in this process, before Django's settings."""
    _registered[alias] = channel_layer


def layer_from_path(path: str) -> BaseChannelLayer:
    """
    Return the layer that ``module:object`` is, or that a call of it returns.

    For an asynchronous layer that wraps a synchronous one, return the latter.

    Raises:
        ConfigurationError: It is no layer.
        RedisError: A server is needed to make it.
    """
    found = import_path(path, "channel layer")
    try:
        made = found() if callable(found) else found
    except RedisError:
        raise
    except Exception as error:
        raise ConfigurationError(f"channel layer {path!r}: {reason(error)}") from error
    layer: BaseChannelLayer
    for layer in (made, getattr(made, "layer", made)):
        with contextlib.suppress(ConfigurationError):
            adapted(layer)
            return layer  # consumers get a foreign layer itself
    raise ConfigurationError(
        f"{path!r} is no channel layer that a worker can receive from, nor a callable without arguments that "
        f"returns one, but {made!r}"
    )


def layer_for(alias: str) -> BaseChannelLayer:
    """
    Return the registered layer, or else that of Django's ``CHANNEL_LAYERS``.

    Raises:
        InvalidChannelLayerError: There is neither.
    """
    if alias in _registered:
        return _registered[alias]
    from asgi_redis.integrations.django import get_channel_layer  # here: not needed for a registered layer

    return get_channel_layer(alias)
