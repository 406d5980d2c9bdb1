"""Layers by alias with their routings, layers by path, and foreign layers."""

from __future__ import annotations

import contextlib
from collections.abc import Collection, Mapping
from typing import Any

from redis.exceptions import RedisError

from asgi_redis.exceptions import InvalidChannelLayerError as InvalidChannelLayerError
from asgi_redis.integrations.django import DEFAULT_ALIAS, make_channel_layer, register_layer
from asgi_redis.integrations.django import get_channel_layer as raw_channel_layer
from asgi_redis.layers.base import BaseChannelLayer
from asgi_redis.wire.message import Batch, Message
from workers.exceptions import ConfigurationError
from workers.importing import import_path, reason
from workers.routing import Router, Routing
from workers.utils import name_that_thing

DEFAULT_CHANNEL_LAYER = DEFAULT_ALIAS


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
    def client_prefix(self) -> str:
        prefix: str = self._layer.client_prefix
        return prefix

    @property
    def undecodable_count(self) -> int | None:
        number: int | None = getattr(self._layer, "undecodable_count", None)
        return number

    def __str__(self) -> str:
        return str(self._layer)


def adapted(channel_layer: Any) -> BaseChannelLayer:
    """
    Return ``channel_layer``, the layer that it wraps, or a ``ForeignLayer`` of it.

    Raises:
        ConfigurationError: A worker cannot receive from it.
    """
    if isinstance(channel_layer, ChannelLayerWrapper):
        channel_layer = channel_layer.channel_layer
    if isinstance(channel_layer, BaseChannelLayer):
        return channel_layer
    if not callable(getattr(channel_layer, "reader", None)):
        raise ConfigurationError(
            f"the worker cannot receive from {channel_layer}: its BACKEND has to be asgi_redis.RedisChannelLayer"
        )
    return ForeignLayer(channel_layer)


def router_for(channel_layer: Any, routing: Router | Routing | None) -> Router:
    """
    Return ``routing`` as a router; without a routing, the router of the layer.

    Raises:
        ConfigurationError: There is neither, or no routing.
    """
    if isinstance(routing, Router):
        return routing
    if routing is not None:
        return Router(routing)
    if not isinstance(channel_layer, ChannelLayerWrapper):
        raise ConfigurationError(
            f'a worker needs a routing, or a layer that has one, such as channel_layers["default"], unlike '
            f"{channel_layer}"
        )
    return channel_layer.router


def layer_from_path(path: str) -> BaseChannelLayer:
    """
    Return the layer that ``module:object`` is, or that a call of it returns.

    For an asynchronous layer that wraps a synchronous one, return the latter.

    Raises:
        ConfigurationError: It is no layer.
        redis.exceptions.RedisError: A server is needed to make it.
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


class ChannelLayerWrapper:
    """
    A channel layer with its routing.

    It has all attributes of the layer. A ``Worker`` takes it in the place of both, and receives from the layer.

    Attributes:
        channel_layer: The layer itself.
        alias: The name of the layer in ``CHANNEL_LAYERS``.
        routing: The routing, as it is written.
        router: A ``workers.routing.Router`` of it.
    """

    def __init__(self, channel_layer: BaseChannelLayer, alias: str, routing: Routing) -> None:
        self.channel_layer = channel_layer
        self.alias = alias
        self.routing = routing
        self.router = Router(routing)

    def local_only(self) -> bool:
        """Return whether the messages stay within one process."""
        return not self.channel_layer.crosses_processes

    def __str__(self) -> str:
        return f"{self.alias} ({name_that_thing(self.channel_layer)})"

    def __getattr__(self, name: str) -> Any:
        return getattr(self.channel_layer, name)


class ChannelLayerManager:
    """
    The layers of Django's ``CHANNEL_LAYERS`` by their aliases, with their routings.

    The layers are those of ``asgi_redis.get_channel_layer``: one for each alias in a process, for all managers.
    """

    def __init__(self) -> None:
        self._wrappers: dict[str, ChannelLayerWrapper] = {}

    @property
    def configs(self) -> Mapping[str, Any]:
        """The setting ``CHANNEL_LAYERS``."""
        from django.conf import settings  # here: a worker need not have Django

        configs: Mapping[str, Any] = getattr(settings, "CHANNEL_LAYERS", {})
        return configs

    def make_backend(self, name: str) -> ChannelLayerWrapper:
        """
        Return a new layer for an alias, by its ``CONFIG``.

        Raises:
            InvalidChannelLayerError: The setting describes no layer with a routing. It is a ``ValueError``.
        """
        return ChannelLayerWrapper(make_channel_layer(name, self.configs), name, self._routing(name))

    def make_test_backend(self, name: str) -> ChannelLayerWrapper:
        """Return a new layer likewise, by its ``TEST_CONFIG``, which has to be there."""
        entry = self.configs.get(name, {})
        if "TEST_CONFIG" not in entry:
            raise InvalidChannelLayerError(
                f"no TEST_CONFIG in CHANNEL_LAYERS[{name!r}], the CONFIG of a layer for tests"
            )
        layer = make_channel_layer(name, {name: {**entry, "CONFIG": entry["TEST_CONFIG"]}})
        return ChannelLayerWrapper(layer, name, self._routing(name))

    def set(self, key: str, layer: ChannelLayerWrapper | None) -> ChannelLayerWrapper | None:
        """
        Make an alias stand for a layer in this process, also for ``get_channel_layer``.

        Args:
            key: The alias.
            layer: A layer with its routing, or None for that of the settings.

        Returns:
            The layer that was set before, or None. To set it again undoes this call.
        """
        before = register_layer(key, None if layer is None else layer.channel_layer)
        wrapper = self._wrappers.pop(key, None)
        if layer is not None:
            self._wrappers[key] = layer
        return wrapper if before is not None else None

    def __getitem__(self, key: str) -> ChannelLayerWrapper:
        layer = raw_channel_layer(key)
        wrapper = self._wrappers.get(key)
        if wrapper is None or wrapper.channel_layer is not layer:
            wrapper = self._wrappers[key] = ChannelLayerWrapper(layer, key, self._routing(key))
        return wrapper

    def __contains__(self, key: object) -> bool:
        return key in self.configs

    def _routing(self, name: str) -> Routing:
        try:
            routing: Routing = self.configs[name]["ROUTING"]
        except KeyError:
            raise InvalidChannelLayerError(
                f"no ROUTING in CHANNEL_LAYERS[{name!r}]: write the path of the routing there, or use --routing; "
                f"for the consumers of an ASGI application, name their channels"
            ) from None
        return routing


channel_layers = ChannelLayerManager()


def get_channel_layer(alias: str = DEFAULT_CHANNEL_LAYER) -> BaseChannelLayer:
    """
    Return the layer of an alias, after setting up Django if need be.

    For an ``asgi.py`` that was written for Channels 1; otherwise ``asgi_redis.get_channel_layer``.
    """
    import django  # here: a worker need not have Django
    from django.apps import apps

    if not apps.apps_ready:
        django.setup(set_prefix=False)
    return raw_channel_layer(alias)
