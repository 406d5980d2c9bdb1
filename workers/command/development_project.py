"""The project that the development server serves: layer, consumers and views."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

from django.apps import apps
from django.conf import settings
from django.core.handlers.asgi import ASGIHandler

from asgi_redis.interface import Interface
from asgi_redis.interface.asgi import Application
from workers.asgi import DEFAULT_CHANNEL_LAYER
from workers.command.arguments import WorkerOptions
from workers.command.development import DevelopmentServer
from workers.command.launcher import when_served
from workers.compat.django import layer_of_project, treat_messages_as_requests
from workers.compat.views import INTERFACE, with_views
from workers.exceptions import ConfigurationError, DenyConnection
from workers.importing import import_path
from workers.message import Message
from workers.routing import Route, Router
from workers.runtime.dispatcher import OWN
from workers.runtime.pool import Pool
from workers.worker import Worker

logger = logging.getLogger(__name__)

THREADS = 4  # as in Channels 1
LEAVING_SECONDS = 0.2  # for consumers that still run when the server has waited for them


def use_memory_by_default() -> None:
    """Make the layer ``default`` of the settings one in memory, where they name none."""
    layers = getattr(settings, "CHANNEL_LAYERS", {})
    entry = layers.get(DEFAULT_CHANNEL_LAYER, {}) if isinstance(layers, Mapping) else None
    if not isinstance(entry, Mapping) or "BACKEND" in entry:
        return
    in_memory: dict[str, Any] = {"BACKEND": "asgi_redis.InMemoryChannelLayer"}
    if apps.is_installed("channels"):  # whose consumers need an asynchronous layer
        in_memory = {"BACKEND": "asgi_redis.aio.AsyncChannelLayer", "CONFIG": {"layer": in_memory}}
    settings.CHANNEL_LAYERS = {**layers, DEFAULT_CHANNEL_LAYER: {**in_memory, **entry}}


def server_for_project(options: Mapping[str, Any]) -> DevelopmentServer:
    """
    Return the server of the project, on its layer ``default``.

    Args:
        options: The parsed flags of ``runserver``.

    Raises:
        ConfigurationError: The project cannot be served with these settings and flags.
    """
    static = options.get("use_static_handler", False) and (settings.DEBUG or options["insecure_serving"])
    layer = when_served(lambda: layer_of_project(DEFAULT_CHANNEL_LAYER), WorkerOptions())
    worker = None
    if options["run_worker"]:
        treat_messages_as_requests(OWN)
        pool = Pool(THREADS if options["use_threading"] else 1)
        worker = Worker(layer, _router(static), pool=pool, shutdown_timeout=LEAVING_SECONDS)
    elif not layer.crosses_processes:
        raise ConfigurationError(
            f"--noworker leaves the messages to other processes, and {layer} passes them within this one: name "
            f"another BACKEND in CHANNEL_LAYERS, such as asgi_redis.IPCChannelLayer"
        )
    return DevelopmentServer(_project_application(static) or _interface(options), layer, worker)


def _project_application(static: bool) -> Application | None:
    """
    Return the ``ASGI_APPLICATION`` of the settings, unless the interface does more.

    It is one with the interface inside, for instance, or one for the consumers of Channels 4. Django's own serves no
    websockets.
    """
    path = getattr(settings, "ASGI_APPLICATION", None)
    if path is None or path == INTERFACE:
        return None
    application = import_path(path, "ASGI_APPLICATION")
    if isinstance(application, ASGIHandler):
        return None
    if static:
        from django.contrib.staticfiles.handlers import ASGIStaticFilesHandler  # here: it has settings

        application = ASGIStaticFilesHandler(application)
    made: Application = application
    return made


def _interface(options: Mapping[str, Any]) -> Interface:
    flags = {name: options[name] for name in ("http_timeout", "websocket_handshake_timeout")}
    try:
        return Interface(**{name: value for name, value in flags.items() if value is not None})
    except (TypeError, ValueError) as error:
        raise ConfigurationError(str(error)) from error


def _router(static: bool) -> Router:
    """Return the routing of the layer, with Django's views for other requests."""
    router = Router(settings.CHANNEL_LAYERS[DEFAULT_CHANNEL_LAYER].get("ROUTING", ()))
    if not any(name.startswith("websocket.") for name in router.channels):
        router = router.with_route(Route("websocket.connect", refuse_websocket))
    return with_views(router, static)


def refuse_websocket(message: Message) -> None:
    """Refuse a websocket of a project that has no consumers of websockets."""
    logger.warning("No consumer for the websocket %r: the routing has none for websockets", message["path"])
    raise DenyConnection
