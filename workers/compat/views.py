"""Django's views as the default consumer of a project."""

from __future__ import annotations

from collections.abc import Iterable

from django.apps import apps
from django.conf import settings

from workers.exceptions import ConfigurationError
from workers.handler import ViewConsumer
from workers.importing import reason
from workers.routing import Router, route
from workers.runtime.limits import chosen

CHANNEL = "http.request"
INTERFACE = "asgi_redis.interface.application"


def with_views(router: Router, static: bool | None = None) -> Router:
    """
    Return a routing whose other requests go to Django's views.

    Args:
        router: The routing.
        static: Whether to serve static files, too; by default in ``DEBUG`` where ``django.contrib.staticfiles`` is
            installed.

    Raises:
        ConfigurationError: The middleware of the settings cannot be loaded.
    """
    if static is None:
        static = settings.DEBUG and apps.is_installed("django.contrib.staticfiles")
    try:
        if static:
            from workers.staticfiles import StaticFilesConsumer  # here: not every project has its settings

            return router.with_route(route(CHANNEL, StaticFilesConsumer()))
        return router.with_route(route(CHANNEL, ViewConsumer()))
    except Exception as error:
        raise ConfigurationError(f"Django's views cannot be served: {reason(error)}") from error


def serves_requests(
    router: Router, only_channels: Iterable[str] | None = None, exclude_channels: Iterable[str] | None = None
) -> bool:
    """
    Return whether a worker with these globs is to answer HTTP requests.

    It is not where the globs leave ``http.request`` out. Otherwise it is, where the project has views and an
    interface server: its routing is empty, or has channels of HTTP or websockets; or the settings have
    ``CHANNEL_INTERFACE``, or name the interface as ``ASGI_APPLICATION``; or ``only_channels`` names ``http.request``.
    A worker of background jobs reads its own channels only.
    """
    if not hasattr(settings, "ROOT_URLCONF") or not chosen([CHANNEL], only_channels, exclude_channels):
        return False
    return (
        not router.channels
        or any(name.startswith(("http.", "websocket.")) for name in router.channels)
        or hasattr(settings, "CHANNEL_INTERFACE")
        or getattr(settings, "ASGI_APPLICATION", None) == INTERFACE
        or any(glob in (CHANNEL, "http.*") for glob in only_channels or ())
    )
