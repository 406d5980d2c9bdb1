"""
What the worker does differently in a Django project. The one file of this package, beside the management
command, that imports Django.
"""

from __future__ import annotations

from typing import Any

from django.apps import apps
from django.conf import settings
from django.db import close_old_connections

from asgi_redis.settings import get_channel_layer
from workers.dialect import OWN
from workers.exceptions import ConfigurationError
from workers.launcher import launch
from workers.layers import ChannelLayer
from workers.routing import Router
from workers.starting import when_served
from workers.worker import ExitCode


def launch_in_project(options: dict[str, Any]) -> int:
    """
    Runs a worker on the channel layer that ``--layer`` names in the settings; to be called after
    ``django.setup``. Where the project has Channels 1, that is Channels' own layer object, with Channels' routing.

    Waits for servers that are needed to make the layer. Returns what ``launch`` returns, or 0 where a signal has
    ended the waiting. Raises ``ConfigurationError`` when the layer or its routing cannot be had.
    """
    alias, verbosity = options["layer"], options["verbosity"]
    if _has_channels1():
        from workers import channels1  # here, because it needs Channels 1

        dialect = channels1.DIALECT
        found = when_served(lambda: channels1.layer_and_router(alias, options["routing"]), verbosity)
        if found is None:
            return ExitCode.CLEAN
        channel_layer, router = found
    else:
        dialect = OWN
        channel_layer = when_served(lambda: _layer(alias), verbosity)
        if channel_layer is None:
            return ExitCode.CLEAN
        router = Router(options["routing"] or _routing(alias))
    # In the thread that runs the message, as Django does around each request.
    dialect.signals.consumer_started.connect(close_connections, dispatch_uid=__name__)
    dialect.signals.consumer_finished.connect(close_connections, dispatch_uid=__name__)
    return launch(channel_layer, router, options, dialect)


def close_connections(**_: Any) -> None:
    """Closes this thread's database connections that are broken or past ``CONN_MAX_AGE``."""
    close_old_connections()


def _has_channels1() -> bool:
    if not apps.is_installed("channels"):
        return False
    version: str = getattr(apps.get_app_config("channels").module, "__version__", "")
    return version.startswith("1.")


def _layer(alias: str) -> ChannelLayer:
    try:
        channel_layer: ChannelLayer = get_channel_layer(alias)
    except (TypeError, ValueError) as error:
        raise ConfigurationError(f"channel layer {alias!r}: {error}") from error
    return channel_layer


def _routing(alias: str) -> Any:
    try:
        return settings.CHANNEL_LAYERS[alias]["ROUTING"]
    except KeyError:
        raise ConfigurationError(
            f"no ROUTING in CHANNEL_LAYERS[{alias!r}]: write the path of the routing there, or use --routing"
        ) from None
