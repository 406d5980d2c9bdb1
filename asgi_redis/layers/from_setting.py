"""
Layers from settings.

A setting is a layer, or a dict of ``BACKEND``, the dotted path of its class, and ``CONFIG``, its options. A dict can
be written where no layer can be made yet, as in Django's settings.
"""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Callable, Mapping
from typing import TypeVar, Union

from asgi_redis.exceptions import ConfigurationError, InvalidChannelLayerError, UnknownSetting
from asgi_redis.layers.base import BaseChannelLayer

COUNTERPARTS = {
    "channels_redis.core.RedisChannelLayer": "asgi_redis.RedisChannelLayer",
    "channels_redis.pubsub.RedisPubSubChannelLayer": "asgi_redis.RedisPubSubChannelLayer",
}
"""The synchronous layer for each back end of channels_redis."""

L = TypeVar("L", bound=BaseChannelLayer)


class LayerFacade:
    """The base of asynchronous layers, each of which wraps a synchronous one."""

    layer: BaseChannelLayer


def is_facade(backend: object) -> bool:
    """Return whether ``backend`` is a class of asynchronous layers around others."""
    return inspect.isclass(backend) and issubclass(backend, LayerFacade)


Backend = Callable[..., Union[BaseChannelLayer, LayerFacade]]


def import_backend(path: str, where: str) -> Backend:
    """
    Return the class that a ``BACKEND`` stands for here.

    Raises ``InvalidChannelLayerError``, which says ``where``, when there is none.
    """
    module, _, name = COUNTERPARTS.get(path, path).rpartition(".")
    try:
        backend: Backend = getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError, ValueError) as error:  # ValueError: a path without a dot
        raise InvalidChannelLayerError(f"cannot import {where}: {error}") from error
    return backend


def layer_from_setting(
    given: object, setting: str, wanted: type[L], described: str, shared: Mapping[str, object]
) -> L:
    """
    Return the layer that a setting gives or describes.

    ``shared`` are options for a layer that declares them and whose ``CONFIG`` leaves them out. Raises
    ``ConfigurationError`` for a value that gives no layer of the class ``wanted``, which the message calls
    ``described``, and all that the constructor of the layer raises.
    """
    if isinstance(given, wanted):
        return given
    if not isinstance(given, Mapping) or not {"BACKEND"} <= set(given) <= {"BACKEND", "CONFIG"}:
        raise ConfigurationError(
            f'{setting} must be {described}, or a dict such as {{"BACKEND": "asgi_redis.IPCChannelLayer", '
            f'"CONFIG": {{...}}}}, not {_shown(given)}'
        )
    where = f"the BACKEND {given['BACKEND']!r} of {setting}"
    backend = import_backend(str(given["BACKEND"]), where)
    if not (inspect.isclass(backend) and issubclass(backend, wanted)):
        raise ConfigurationError(f"{where} must be {described}, like asgi_redis.IPCChannelLayer")
    config = given.get("CONFIG", {})
    if not isinstance(config, Mapping):
        raise ConfigurationError(f"the CONFIG of {setting} must be a dict of settings, not a {type(config).__name__}")
    known = inspect.signature(backend).parameters
    try:
        return backend(**{**{name: value for name, value in shared.items() if name in known}, **config})
    except (ConfigurationError, UnknownSetting) as error:
        raise type(error)(f"{setting}: {error}") from None


def _shown(given: object) -> str:
    # A dict may hold secrets, and a str may be a URL with a password.
    if isinstance(given, Mapping):
        return f"a dict of {list(given)}"
    return str(given) if isinstance(given, BaseChannelLayer) else f"a {type(given).__name__}"
