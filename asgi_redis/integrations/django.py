"""
The channel layers of a Django project's ``CHANNEL_LAYERS``.

Django is imported when it is called only. ``checks.py`` and ``apps.py`` are for Django alone.
"""

from __future__ import annotations

import difflib
import importlib
import inspect
import threading
from collections.abc import Callable, Mapping
from typing import Any

from asgi_redis.exceptions import ConfigurationError
from asgi_redis.process import fork

# What a Channels 4 project has in its settings, and the synchronous layer that speaks with it.
COUNTERPARTS = {
    "channels_redis.core.RedisChannelLayer": "asgi_redis.RedisChannelLayer",
    "channels_redis.pubsub.RedisPubSubChannelLayer": "asgi_redis.RedisPubSubChannelLayer",
}
IN_MEMORY = "channels.layers.InMemoryChannelLayer"

# TEST_CONFIG and ROUTING are for Channels 4's tests, and for workers.
_OPTIONS = ("BACKEND", "CONFIG", "ROUTING", "TEST_CONFIG")

_layers: dict[str, Any] = {}
# Reentrant: importing a back end may import code that asks for a layer, too.
_lock = fork.Own(threading.RLock)


class InvalidChannelLayerError(ConfigurationError):
    """``CHANNEL_LAYERS`` does not say how to make the layer that was asked for."""


def get_channel_layer(alias: str = "default") -> Any:
    """
    Returns the synchronous channel layer for an alias in Django's ``CHANNEL_LAYERS``: one for each process.

    Its ``BACKEND`` is the dotted path of a synchronous layer; of one of ``asgi_redis.aio``, which stands for the
    synchronous layer in it, in the object that Channels has for the alias, where Channels 4 is installed; or one of
    channels_redis's, ``channels_redis.core.RedisChannelLayer`` and
    ``channels_redis.pubsub.RedisPubSubChannelLayer``, which stand for ours with the same ``CONFIG``.

    Raises ``InvalidChannelLayerError``, a ``ValueError``, when Django or the alias is missing, or when its
    ``BACKEND`` is missing, cannot be imported or has no synchronous layer; and what the layer's class raises about
    its ``CONFIG``.
    """
    with _lock.value:
        if alias not in _layers:
            _layers[alias] = _layer(alias, _configured())
        return _layers[alias]


def _configured() -> Mapping[str, Any]:
    try:
        from django.conf import settings
        from django.core.signals import setting_changed
    except ImportError as error:
        raise InvalidChannelLayerError(
            "get_channel_layer() reads Django's settings, and Django cannot be imported: "
            'pip install "asgi_redis[django]", or make the layer yourself'
        ) from error
    setting_changed.connect(_forget, dispatch_uid=__name__)
    layers: Mapping[str, Any] = getattr(settings, "CHANNEL_LAYERS", {})
    return layers


def _layer(alias: str, layers: Mapping[str, Any]) -> Any:
    """
    Returns the synchronous layer in the asynchronous one that Channels has for ``alias``, or else a new layer.

    Beside that of Channels, another would have its own connections and ``client_prefix``, and in memory its own
    messages.
    """
    backend, _ = _backend_and_config(alias, layers)
    if is_facade(backend) and "ROUTING" not in layers[alias]:  # Channels 4 makes no layer that has one
        try:
            channel_layers = importlib.import_module("channels.layers").channel_layers
        except ImportError:
            pass  # it is not installed, or is Channels 1
        else:
            return channel_layers[alias].layer
    return make_channel_layer(alias, layers)


def make_channel_layer(alias: str, layers: Mapping[str, Any]) -> Any:
    """Returns a new layer for ``alias`` in what ``CHANNEL_LAYERS`` may be. Raises as ``get_channel_layer`` does."""
    backend, config = _backend_and_config(alias, layers)
    return backend(**config).layer if is_facade(backend) else backend(**config)


def _backend_and_config(alias: str, layers: Mapping[str, Any]) -> tuple[Callable[..., Any], Mapping[str, Any]]:
    if alias not in layers:
        known = ", ".join(repr(name) for name in layers) or "none"
        raise InvalidChannelLayerError(f"no channel layer {alias!r} in CHANNEL_LAYERS; it has {known}")
    options = layers[alias]
    if not isinstance(options, Mapping):
        raise InvalidChannelLayerError(
            f'CHANNEL_LAYERS[{alias!r}] must be a dict such as {{"BACKEND": "asgi_redis.RedisChannelLayer"}}, not a '
            f"{type(options).__name__}"
        )
    for name in options:
        if name not in _OPTIONS:
            raise InvalidChannelLayerError(f"CHANNEL_LAYERS[{alias!r}] has an unknown key {name!r}; {_meant(name)}")
    if not isinstance(options.get("BACKEND"), str):
        raise InvalidChannelLayerError(
            f"CHANNEL_LAYERS[{alias!r}] has no BACKEND: the dotted path of a channel layer"
        )
    config = options.get("CONFIG", {})
    if not isinstance(config, Mapping):
        raise InvalidChannelLayerError(f"the CONFIG of CHANNEL_LAYERS[{alias!r}] must be a dict of settings")
    return _backend(alias, options["BACKEND"]), config


def _meant(name: object) -> str:
    nearest = difflib.get_close_matches(str(name).upper(), _OPTIONS, n=1, cutoff=0.6)
    if nearest:
        return f"did you mean {nearest[0]!r}?"
    return "settings of the layer belong into its CONFIG; beside that there are BACKEND and ROUTING"


def _backend(alias: str, path: str) -> Callable[..., Any]:
    where = f"the BACKEND {path!r} of CHANNEL_LAYERS[{alias!r}]"
    if path == IN_MEMORY:
        raise InvalidChannelLayerError(
            f"{where} keeps its messages in the event loop that made it, out of reach for synchronous code: use "
            f"asgi_redis.aio.RedisChannelLayer, or within one process asgi_redis.aio.AsyncChannelLayer with the "
            f'CONFIG {{"layer": {{"BACKEND": "asgi_redis.InMemoryChannelLayer"}}}}'
        )
    backend: Callable[..., Any] = import_backend(path, where)
    if not is_facade(backend) and is_asynchronous(backend):
        raise InvalidChannelLayerError(
            f"{where} is asynchronous, and nothing is known about a synchronous layer for it; get_channel_layer() "
            f"takes those of asgi_redis and asgi_redis.aio, and {', '.join(COUNTERPARTS)}"
        )
    return backend


def import_backend(path: str, where: str) -> Any:
    """
    Returns the class that a ``BACKEND`` stands for here.

    Raises ``InvalidChannelLayerError``, which says ``where``, when there is none.
    """
    module, _, name = COUNTERPARTS.get(path, path).rpartition(".")
    try:
        return getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError, ValueError) as error:  # ValueError: a path without a dot
        raise InvalidChannelLayerError(f"cannot import {where}: {error}") from error


def is_facade(backend: Any) -> bool:
    """Whether objects of the class are around a synchronous layer, their ``layer``."""
    return inspect.isclass(backend) and any(
        ancestor.__module__.startswith("asgi_redis.aio") for ancestor in backend.__mro__
    )


def is_asynchronous(backend: Any) -> bool:
    """Whether the class is that of a layer for Channels 2 and later."""
    return inspect.iscoroutinefunction(getattr(backend, "send", None))


def _forget(*, setting: str, **_: Any) -> None:
    # Not closed: whoever holds one of them may still be using it.
    if setting == "CHANNEL_LAYERS":
        with _lock.value:
            _layers.clear()
