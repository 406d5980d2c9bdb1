"""
What the worker does differently in a Django project. The one file of this package, beside the management
command, that imports Django.
"""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.db import close_old_connections

from asgi_redis.settings import get_channel_layer
from workers.exceptions import ConfigurationError
from workers.launcher import launch
from workers.layers import ChannelLayer
from workers.routing import Router
from workers.signals import consumer_finished, consumer_started


def launch_in_project(options: dict[str, Any]) -> int:
    """
    Runs a worker on the channel layer that ``--layer`` names in the settings; to be called after
    ``django.setup``.

    Returns what ``launch`` returns. Raises ``ConfigurationError`` when the layer or its routing cannot be
    had.
    """
    alias = options["layer"]
    try:
        channel_layer: ChannelLayer = get_channel_layer(alias)
    except (TypeError, ValueError) as error:
        raise ConfigurationError(f"channel layer {alias!r}: {error}") from error
    router = Router(options["routing"] or _routing(alias))
    # In the thread that runs the message, as Django does around each request.
    consumer_started.connect(close_connections, dispatch_uid=__name__)
    consumer_finished.connect(close_connections, dispatch_uid=__name__)
    return launch(channel_layer, router, options)


def close_connections(**_: Any) -> None:
    """Closes this thread's database connections that are broken or past ``CONN_MAX_AGE``."""
    close_old_connections()


def _routing(alias: str) -> Any:
    try:
        return settings.CHANNEL_LAYERS[alias]["ROUTING"]
    except KeyError:
        raise ConfigurationError(
            f"no ROUTING in CHANNEL_LAYERS[{alias!r}]: write the path of the routing there, or use --routing"
        ) from None
