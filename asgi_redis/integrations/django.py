"""
The channel layers of a Django project's ``CHANNEL_LAYERS``.

Django is imported only when a layer is asked for. ``checks.py`` and ``apps.py`` are for Django alone.
"""

from __future__ import annotations

import importlib
import inspect
import threading
from collections.abc import Mapping
from typing import cast

from asgi_redis.exceptions import InvalidChannelLayerError
from asgi_redis.layers.base import BaseChannelLayer
from asgi_redis.layers.from_setting import COUNTERPARTS, Backend, LayerFacade, import_backend, is_facade
from asgi_redis.process import fork

IN_MEMORY = "channels.layers.InMemoryChannelLayer"

# TEST_CONFIG is for the tests of Channels 4, ROUTING for workers.
_KEYS = ("BACKEND", "CONFIG", "ROUTING", "TEST_CONFIG")

DEFAULT_ALIAS = "default"

_layers: dict[str, BaseChannelLayer] = {}
_registered: dict[str, BaseChannelLayer] = {}
# Reentrant: importing a back end may import code that asks for a layer, too.
_lock = fork.Own(threading.RLock)


def register_layer(alias: str, channel_layer: BaseChannelLayer | None) -> BaseChannelLayer | None:
    """
    Make ``alias`` stand for a layer in this process, before Django's settings.

    Without Django there are no settings to look an alias up in. In tests another layer takes the place of theirs.

    Args:
        alias: An alias, which need not be in ``CHANNEL_LAYERS``.
        channel_layer: The layer; with None ``alias`` stands for that of the settings again.

    Returns:
        The layer that was registered before, or None.
    """
    with _lock.value:
        before = _registered.pop(alias, None)
        if channel_layer is not None:
            _registered[alias] = channel_layer
    return before


def get_channel_layer(alias: str = DEFAULT_ALIAS) -> BaseChannelLayer:
    """
    Return the synchronous channel layer for an alias in ``CHANNEL_LAYERS``.

    A process has one for each alias. A layer that is registered comes first. Otherwise its ``BACKEND`` in Django's
    settings is the dotted path of

    * a synchronous layer,
    * a layer of ``asgi_redis.aio``, which stands for the synchronous layer in it: where Channels 4 is installed, in
      the object that Channels has for the alias,
    * ``channels_redis.core.RedisChannelLayer`` or ``channels_redis.pubsub.RedisPubSubChannelLayer``, which stands for
      the synchronous layer with the same ``CONFIG``.

    Raises:
        InvalidChannelLayerError: Django or the alias is missing, or its ``BACKEND`` is missing, cannot be imported or
            has no synchronous layer. It is a ``ValueError``.
        ConfigurationError: An option in ``CONFIG`` has a value that cannot work.
        UnknownSetting: ``CONFIG`` has an option that the layer does not know. It is a ``TypeError``.
    """
    registered = _registered.get(alias)
    if registered is not None:
        return registered
    with _lock.value:
        if alias not in _layers:
            _layers[alias] = _layer(alias, _configured())
        return _layers[alias]


def _configured() -> Mapping[str, object]:
    try:
        from django.conf import settings
        from django.core.signals import setting_changed
    except ImportError as error:
        raise InvalidChannelLayerError(
            "get_channel_layer() reads Django's settings, and Django cannot be imported: "
            'pip install "asgi_redis[django]", or make the layer yourself'
        ) from error
    setting_changed.connect(_forget, dispatch_uid=__name__)
    layers: Mapping[str, object] = getattr(settings, "CHANNEL_LAYERS", {})
    return layers


def _layer(alias: str, layers: Mapping[str, object]) -> BaseChannelLayer:
    """
    Return the layer within the asynchronous layer of Channels, or a new one.

    A second layer would have its own connections and ``client_prefix``, and in memory its own messages.
    """
    backend, entry = _backend_and_entry(alias, layers)
    if is_facade(backend) and "ROUTING" not in entry:  # Channels 4 refuses a ROUTING
        try:
            channel_layers = importlib.import_module("channels.layers").channel_layers
        except ImportError:
            pass  # it is not installed, or is Channels 1
        else:
            layer: BaseChannelLayer = channel_layers[alias].layer
            return layer
    return make_channel_layer(alias, layers)


def make_channel_layer(alias: str, layers: Mapping[str, object]) -> BaseChannelLayer:
    """Return a new layer for ``alias``. Raises as ``get_channel_layer`` does."""
    backend, entry = _backend_and_entry(alias, layers)
    made = backend(**cast("Mapping[str, object]", entry.get("CONFIG", {})))
    return made.layer if isinstance(made, LayerFacade) else made


def _backend_and_entry(alias: str, layers: Mapping[str, object]) -> tuple[Backend, Mapping[str, object]]:
    if alias not in layers:
        known = ", ".join(repr(name) for name in layers) or "none"
        raise InvalidChannelLayerError(f"no channel layer {alias!r} in CHANNEL_LAYERS; it has {known}")
    entry = layers[alias]
    where = f"CHANNEL_LAYERS[{alias!r}]"
    if not isinstance(entry, Mapping):
        raise InvalidChannelLayerError(
            f'{where} must be a dict such as {{"BACKEND": "asgi_redis.RedisChannelLayer"}}, not a '
            f"{type(entry).__name__}"
        )
    for name in entry:
        if name not in _KEYS:
            raise InvalidChannelLayerError(f"{where} has an unknown key {name!r}; {_meant(name)}")
    path = entry.get("BACKEND")
    if not isinstance(path, str):
        raise InvalidChannelLayerError(f"{where} has no BACKEND: the dotted path of a channel layer")
    if not isinstance(entry.get("CONFIG", {}), Mapping):
        raise InvalidChannelLayerError(f"the CONFIG of {where} must be a dict of settings")
    return _backend(path, f"the BACKEND {path!r} of {where}"), entry


def _meant(name: object) -> str:
    import difflib  # takes a while, and is for errors only

    nearest = difflib.get_close_matches(str(name).upper(), _KEYS, n=1, cutoff=0.6)
    if nearest:
        return f"did you mean {nearest[0]!r}?"
    return "settings of the layer belong into its CONFIG; beside that there are BACKEND and ROUTING"


def _backend(path: str, where: str) -> Backend:
    if path == IN_MEMORY:
        raise InvalidChannelLayerError(
            f"{where} keeps its messages in the event loop that made it, out of reach for synchronous code: use "
            f"asgi_redis.aio.RedisChannelLayer, or within one process asgi_redis.aio.AsyncChannelLayer with the "
            f'CONFIG {{"layer": {{"BACKEND": "asgi_redis.InMemoryChannelLayer"}}}}'
        )
    backend = import_backend(path, where)
    is_asynchronous = inspect.iscoroutinefunction(getattr(backend, "send", None))
    if is_asynchronous and not is_facade(backend):
        raise InvalidChannelLayerError(
            f"{where} is asynchronous, and nothing is known about a synchronous layer for it; get_channel_layer() "
            f"takes those of asgi_redis and asgi_redis.aio, and {', '.join(COUNTERPARTS)}"
        )
    return backend


def _forget(*, setting: str, **_: object) -> None:
    # Not closed: other code may still be using one of them.
    if setting == "CHANNEL_LAYERS":
        with _lock.value:
            _layers.clear()
