"""Django in a worker: the layers of the settings, and the state of a request."""

from __future__ import annotations

import contextlib
import contextvars
import datetime
import logging
import threading
from typing import Any

from django.apps import apps
from django.conf import settings
from django.core.cache import caches
from django.db import DatabaseError, close_old_connections, reset_queries
from django.db.backends.signals import connection_created
from django.urls import set_urlconf
from django.utils import timezone, translation

from asgi_redis.integrations.django import get_channel_layer
from asgi_redis.layers.base import BaseChannelLayer
from workers.exceptions import ConfigurationError
from workers.runtime.contexts import begin_with
from workers.runtime.dispatcher import ConsumerAPI
from workers.runtime.pool import SLOT_NAME

logger = logging.getLogger(__name__)

_opened_apart = False  # whether a thread that runs no consumers has ever opened a connection


def treat_messages_as_requests(consumer_api: ConsumerAPI) -> None:
    """
    Have Django's state begin and end with each message, as it does with a request.

    Old database connections are closed before and after it: in the thread that runs it, and for ``async def``
    consumers where ``sync_to_async`` runs the ORM. The active language, time zone and URLconf are forgotten. The
    caches of a thread live as long as the thread.
    """
    begin_with(_make_caches)
    if _keeps_outside_contexts():
        consumer_api.signals.consumer_started.connect(_forget_request, dispatch_uid=f"{__name__}.forget")
    consumer_api.signals.consumer_started.connect(close_connections, dispatch_uid=__name__)
    consumer_api.signals.consumer_finished.connect(close_connections, dispatch_uid=__name__)
    try:
        from asgiref.sync import sync_to_async  # here, because the asgiref of Channels 1 has none
    except ImportError:
        return
    from workers.loops.coroutines import call_around  # here, because it needs asyncio, as asgiref.sync does

    close_apart = sync_to_async(close_connections)

    async def close_connections_apart() -> None:
        if _opened_apart:  # the way there and back takes many times as long as a small consumer
            await close_apart()

    connection_created.connect(_note_where, dispatch_uid=__name__)
    call_around(close_connections_apart)


def _note_where(**_: Any) -> None:
    global _opened_apart
    thread = threading.current_thread()
    if thread is not threading.main_thread() and not thread.name.startswith(SLOT_NAME):
        _opened_apart = True


def close_connections(**_: Any) -> None:
    """Close database connections that are broken or past ``CONN_MAX_AGE``."""
    if settings.DEBUG:
        reset_queries()  # Django records them all
    try:
        close_old_connections()
    except DatabaseError:  # such as an outage, which ends no worker
        logger.exception("Could not close a database connection")


def _make_caches() -> None:
    for alias in settings.CACHES:
        with contextlib.suppress(Exception):  # raised again where the cache is used
            caches[alias]


def _keeps_outside_contexts() -> bool:
    """Return whether the active time zone belongs to a thread: with asgiref < 3.7."""
    probe: Any = datetime.timezone(datetime.timedelta(minutes=1))
    contextvars.Context().run(timezone.activate, probe)
    kept = timezone.get_current_timezone() is probe
    if kept:
        timezone.deactivate()
    return kept


def _forget_request(**_: Any) -> None:
    translation.deactivate()
    timezone.deactivate()
    set_urlconf(None)


def has_channels1() -> bool:
    """Return whether the project has Channels 1."""
    if not apps.is_installed("channels"):
        return False
    version: str = getattr(apps.get_app_config("channels").module, "__version__", "")
    return version.startswith("1.")


def layer_of_project(alias: str) -> BaseChannelLayer:
    """Return the layer for an alias in the settings, or raise ``ConfigurationError``."""
    try:
        channel_layer: BaseChannelLayer = get_channel_layer(alias)
    except (TypeError, ValueError) as error:
        raise ConfigurationError(f"channel layer {alias!r}: {error}") from error
    return channel_layer
