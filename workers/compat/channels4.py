"""
The ASGI application of a Channels 4 project, found by its settings, for ``workers.compat.asgi_events``.

Works with any ASGI application that takes the scope ``channel``: Channels itself need not be installed.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Sequence
from typing import Any

from django.conf import settings

from asgi_redis.layers.base import BaseChannelLayer
from asgi_redis.layers.from_setting import COUNTERPARTS, import_backend
from workers.asgi import DEFAULT_CHANNEL_LAYER, adapted
from workers.compat.asgi_events import ChannelEvents
from workers.exceptions import ConfigurationError
from workers.importing import import_path


def channel_events(channels: Sequence[str], channel_layer: BaseChannelLayer) -> ChannelEvents:
    """
    Returns the consumers of the project's ``ASGI_APPLICATION`` on ``channels``.

    ``asgi.delay`` is left out where ``channel_layer`` has delayed messages: the worker itself serves it. Raises
    ``ConfigurationError`` where there is no application, or it cannot work.
    """
    layer = adapted(channel_layer)
    try:
        layer.valid_channel_names(list(channels), receive=True)
    except TypeError as error:
        raise ConfigurationError(str(error)) from error
    _use_our_layers()  # before anything asks for one
    application = _application()
    _check_default_layer()
    served = set() if layer.delayed is None else {"asgi.delay"}
    return ChannelEvents(application, set(channels) - served)


def _application() -> Any:
    path = getattr(settings, "ASGI_APPLICATION", None)
    if not isinstance(path, str) or "." not in path:
        raise ConfigurationError(
            f"channels named on the command line are for the consumers of an ASGI application, and ASGI_APPLICATION "
            f"in the settings is {path!r}: set it to a path such as 'mysite.asgi.application'"
        )
    return import_path(path, "ASGI_APPLICATION")


def _use_our_layers() -> None:
    """
    Gives the consumers of Channels our layers where the settings have those of channels_redis, with the same CONFIG.

    A consumer waits for what comes on its own channel as long as it lives. With redis-py 8, channels_redis breaks
    such a wait off with an error when nothing has come for a minute, which ends the consumer and all that it knew.
    """
    try:
        channel_layers = importlib.import_module("channels.layers").channel_layers
    except ImportError:
        return
    for alias, options in channel_layers.configs.items():
        path = options.get("BACKEND")
        if path in COUNTERPARTS:
            try:
                ours = import_backend(f"asgi_redis.aio.{path.rpartition('.')[2]}", "the layer in its place")
                channel_layers.set(alias, ours(**options.get("CONFIG", {})))
            except (TypeError, ValueError, ImportError) as error:
                raise ConfigurationError(f"channel layer {alias!r}: {error}") from error


def _check_default_layer() -> None:
    """Raises ``ConfigurationError`` when the consumers of Channels cannot use the default layer."""
    if "channels.consumer" not in sys.modules:
        return  # the application does without
    layers = importlib.import_module("channels.layers")
    try:
        layer = layers.get_channel_layer(DEFAULT_CHANNEL_LAYER)
    except (TypeError, ValueError, ImportError, layers.InvalidChannelLayerError) as error:
        raise ConfigurationError(f"channel layer {DEFAULT_CHANNEL_LAYER!r}: {error}") from error
    if isinstance(layer, BaseChannelLayer):
        raise ConfigurationError(
            f"the consumers of Channels use channel layer {DEFAULT_CHANNEL_LAYER!r}, too, and {type(layer).__name__} "
            f"is synchronous: its BACKEND has to be one of asgi_redis.aio, or of channels_redis"
        )
