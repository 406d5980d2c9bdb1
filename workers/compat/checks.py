"""The system checks of ``workers``, for ``manage.py check``."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from django.apps import apps
from django.conf import settings
from django.core.checks import CheckMessage, Error, Warning
from django.core.management import get_commands

from asgi_redis.exceptions import ChannelLayerError
from asgi_redis.wire.names import check_channel_name
from workers.compat.django import has_channels1
from workers.exceptions import ConfigurationError, RoutingImportError
from workers.importing import hidden_package, place
from workers.routing import Router

# Not those of other packages: they may be made to run the command that comes next, as that of whitenoise.
OTHER_RUNSERVERS = {"channels", "daphne"}


def check_command(**_: Any) -> list[CheckMessage]:
    """Return a warning where ``manage.py runworker`` is that of Channels."""
    names = [config.name for config in apps.get_app_configs()]
    if "channels" not in names or names.index("workers") < names.index("channels"):
        return []
    return [
        Warning(
            "manage.py runworker is the command of Channels, which comes first in INSTALLED_APPS.",
            hint="Put 'workers' before 'channels'.",
            id="workers.W001",
        )
    ]


def check_runserver(**_: Any) -> list[CheckMessage]:
    """Return a warning where ``manage.py runserver`` serves no consumers."""
    owner = str(get_commands().get("runserver", ""))
    if not has_routing() or owner not in OTHER_RUNSERVERS or has_channels1():
        return []
    return [
        Warning(
            f"manage.py runserver is the command of {owner}, which comes first in INSTALLED_APPS; it serves no "
            f"consumers of a ROUTING.",
            hint=f"Put 'workers' before '{owner}'.",
            id="workers.W003",
        )
    ]


def has_routing() -> bool:
    """Return whether the settings have a layer with a ``ROUTING``."""
    layers = getattr(settings, "CHANNEL_LAYERS", {})
    return isinstance(layers, Mapping) and any("ROUTING" in entry for entry in layers.values() if entry)


def check_hidden_package(**_: Any) -> list[CheckMessage]:
    """Return a warning where this package hides a package of the project."""
    hidden = hidden_package()
    return [Warning(f"{hidden}.", hint="Rename the package of the project.", id="workers.W002")] if hidden else []


def check_routings(**_: Any) -> list[CheckMessage]:
    """Return the errors in each ``ROUTING`` of ``CHANNEL_LAYERS``."""
    layers = getattr(settings, "CHANNEL_LAYERS", {})
    return [
        message
        for alias, options in (layers.items() if isinstance(layers, Mapping) else ())
        if isinstance(options, Mapping) and "ROUTING" in options
        for message in _check_routing(f"The ROUTING of CHANNEL_LAYERS[{alias!r}]", options["ROUTING"])
    ]


def check_interface(**_: Any) -> list[CheckMessage]:
    """Return the error in ``CHANNEL_INTERFACE``."""
    if not hasattr(settings, "CHANNEL_INTERFACE"):
        return []
    from asgi_redis.interface import Interface  # here: workers alone do without
    from asgi_redis.interface.options import of_settings

    try:
        Interface(**of_settings(settings))
    except (ChannelLayerError, TypeError, ValueError) as error:
        hint = "Correct it: the interface does not start with it."
        return [Error(f"CHANNEL_INTERFACE cannot work: {error}.", hint=hint, id="workers.E003")]
    return []


def _check_routing(where: str, routing: Any) -> Iterator[CheckMessage]:
    try:
        channels = Router(routing).channels
    except ConfigurationError as error:
        yield Error(f"{where} cannot work: {error}.", hint=_cure(error), id="workers.E001")
        return
    for channel in channels:
        try:
            check_channel_name(channel, receive=True)
        except TypeError as error:
            yield Error(
                f"{where} has a channel that cannot be: {error}.", hint="Correct its name.", id="workers.E002"
            )


def _cure(error: ConfigurationError) -> str:
    if not isinstance(error, RoutingImportError):
        return "Write a list of route() and include(), or a dict from channels to consumers."
    if isinstance(error.__cause__, Exception) and place(error.__cause__):
        return "Mend that line, or install what it needs."
    return "Write the path of the routing as 'package.module.name'."
