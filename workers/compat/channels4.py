"""
The ASGI application and the channel layers of a Channels 4 project.

Works with any ASGI application that takes the scope ``channel``: Channels itself need not be installed. This is the
only file that uses what Channels 4 does not document: ``application_mapping`` and ``consumer_class`` of its routers,
and the manager of its layers.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterable, Mapping, Sequence
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
    Return the consumers of the project's ``ASGI_APPLICATION`` on ``channels``.

    ``asgi.delay`` is left out where ``channel_layer`` has delayed messages: the worker itself serves it. Raises
    ``ConfigurationError`` where there is no application, or it cannot work.
    """
    layer = adapted(channel_layer)
    try:
        layer.valid_channel_names(list(channels), receive=True)
    except TypeError as error:
        raise ConfigurationError(str(error)) from error
    _use_our_layers()  # before the application asks for one
    application = _application()
    _check_default_layer()
    names = sorted(set(channels) - (set() if layer.delayed is None else {"asgi.delay"}))
    return ChannelEvents(application, names, consumers_of(application, names))


def consumers_of(application: Any, channels: Iterable[str]) -> dict[str, Any]:
    """
    Return the consumers in Channels' routers; none for other applications.

    Raises ``ConfigurationError`` for a channel that the ``ChannelNameRouter`` does not have.
    """
    protocols = getattr(application, "application_mapping", None)
    if not isinstance(protocols, Mapping):
        return {}
    if "channel" not in protocols:
        raise ConfigurationError(
            'the ProtocolTypeRouter of ASGI_APPLICATION has no "channel": add '
            '"channel": ChannelNameRouter({"name": TheConsumer.as_asgi()})'
        )
    known = getattr(protocols["channel"], "application_mapping", None)
    if not isinstance(known, Mapping):
        return {}
    for name in channels:
        if name not in known:
            raise ConfigurationError(
                f"no consumer for channel {name!r} in the application's ChannelNameRouter; it has "
                f"{', '.join(sorted(known)) or 'none'}"
            )
    return {name: getattr(consumer, "consumer_class", consumer) for name, consumer in known.items()}


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
    Replace layers of channels_redis by our counterparts, with the same CONFIG.

    A consumer waits on its own channel as long as it lives. With redis-py 8, channels_redis breaks such a wait off
    with an error when no message comes for a minute, which ends the consumer with all its state.
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
    """Raise ``ConfigurationError`` when Channels cannot use the default layer."""
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
