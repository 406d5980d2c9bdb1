"""
The routing, messages, signals and exceptions of Channels 1, for the worker.

It also does the work of Channels' own ``runworker`` before the start. No other file imports Channels 1, and
``workers.command.project`` imports this one only where it is installed.
"""

from __future__ import annotations

from typing import Any

from channels import (  # type: ignore[import-untyped]  # it has no types
    channel_layers,
    exceptions,
    message,
    routing,
    signals,
    staticfiles,
)
from django.apps import apps
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.core.management.base import BaseCommand

from workers.asgi import adapted
from workers.exceptions import ConfigurationError
from workers.routing import Router
from workers.runtime.dispatcher import ConsumerAPI

CONSUMER_API = ConsumerAPI(message.Message, signals, exceptions)


def layer_and_router(alias: str, routing_path: str | None) -> tuple[Any, Router]:
    """
    Return Channels' own layer object for an alias, and a router with its routes.

    ``routing_path`` replaces the layer's own routing. Django's views get each ``http.request`` that no other consumer
    takes. Raises ``ConfigurationError`` when the settings do not make a layer, and for a layer that the worker cannot
    receive from.
    """
    if alias not in channel_layers:
        known = ", ".join(repr(name) for name in channel_layers.configs) or "none"
        raise ConfigurationError(f"no channel layer {alias!r} in CHANNEL_LAYERS; it has {known}")
    try:
        channel_layer = channel_layers[alias]
        if routing_path:
            channel_layer.router = routing.Router(routing_path)
    except (TypeError, ValueError, ImproperlyConfigured) as error:
        raise ConfigurationError(f"channel layer {alias!r}: {error}") from error
    adapted(channel_layer)
    serve_static = settings.DEBUG and apps.is_installed("django.contrib.staticfiles")
    channel_layer.router.check_default(http_consumer=staticfiles.StaticFilesConsumer() if serve_static else None)
    return channel_layer, Router([channel_layer.router.root])


def runserver_command() -> type[BaseCommand]:
    """Return the ``manage.py runserver`` of Channels 1."""
    from channels.management.commands.runserver import Command  # type: ignore[import-untyped]  # it needs daphne

    command: type[BaseCommand] = Command
    return command
