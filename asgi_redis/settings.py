"""
The channel layers of a Django project's ``CHANNEL_LAYERS``.

The one file of this package that knows Django, and it imports it when it is called only.
"""

from __future__ import annotations

import importlib
import inspect
import os
import threading
from collections.abc import Callable, Mapping
from typing import Any

from asgi_redis.exceptions import ConfigurationError

# What a Channels 4 project has in its settings, and the synchronous layer that speaks with it.
_COUNTERPARTS = {"channels_redis.core.RedisChannelLayer": "asgi_redis.RedisChannelLayer"}

_layers: dict[str, Any] = {}
# Reentrant: importing a back end may import code that asks for a layer, too.
_lock = threading.RLock()


def _after_fork_in_child() -> None:
    global _lock
    _lock = threading.RLock()  # another thread of the parent may have held it


os.register_at_fork(after_in_child=_after_fork_in_child)


class InvalidChannelLayerError(ConfigurationError):
    """``CHANNEL_LAYERS`` does not say how to make the layer that was asked for."""


def get_channel_layer(alias: str = "default") -> Any:
    """
    Returns the synchronous channel layer for an alias in Django's ``CHANNEL_LAYERS``: one for each process.

    Its ``BACKEND`` is the dotted path of a synchronous layer, or channels_redis's
    ``channels_redis.core.RedisChannelLayer``, which stands for our ``RedisChannelLayer`` with the same ``CONFIG``.

    Raises ``InvalidChannelLayerError``, a ``ValueError``, when Django or the alias is missing, or when its
    ``BACKEND`` is missing, cannot be imported or is asynchronous; and what the layer's class raises about its
    ``CONFIG``.
    """
    with _lock:
        if alias not in _layers:
            _layers[alias] = _make(alias)
        return _layers[alias]


def _make(alias: str) -> Any:
    try:
        from django.conf import settings
        from django.core.signals import setting_changed
    except ImportError as error:
        raise InvalidChannelLayerError(
            "get_channel_layer() reads Django's settings, and Django cannot be imported: "
            "pip install asgi_redis[django], or make the layer yourself"
        ) from error
    setting_changed.connect(_forget, dispatch_uid=__name__)
    layers = getattr(settings, "CHANNEL_LAYERS", {})
    if alias not in layers:
        known = ", ".join(repr(name) for name in layers) or "none"
        raise InvalidChannelLayerError(f"no channel layer {alias!r} in CHANNEL_LAYERS; it has {known}")
    options: Mapping[str, Any] = layers[alias]
    if "BACKEND" not in options:
        raise InvalidChannelLayerError(
            f"CHANNEL_LAYERS[{alias!r}] has no BACKEND: the dotted path of a channel layer"
        )
    return _backend(alias, options["BACKEND"])(**options.get("CONFIG", {}))


def _backend(alias: str, path: str) -> Callable[..., Any]:
    where = f"the BACKEND {path!r} of CHANNEL_LAYERS[{alias!r}]"
    if path.startswith("channels_redis.") and path not in _COUNTERPARTS:
        raise InvalidChannelLayerError(f"{where} has no synchronous counterpart; {', '.join(_COUNTERPARTS)} has")
    module, _, name = _COUNTERPARTS.get(path, path).rpartition(".")
    try:
        backend: Callable[..., Any] = getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError, ValueError) as error:  # ValueError: a path without a dot
        raise InvalidChannelLayerError(f"cannot import {where}: {error}") from error
    if inspect.iscoroutinefunction(getattr(backend, "send", None)):
        raise InvalidChannelLayerError(f"{where} is asynchronous, and get_channel_layer() returns synchronous layers")
    return backend


def _forget(*, setting: str, **_: Any) -> None:
    # Not closed: whoever holds one of them may still be using it.
    if setting == "CHANNEL_LAYERS":
        with _lock:
            _layers.clear()
