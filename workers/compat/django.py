"""
What the worker does differently in a Django project. Nothing else of this package imports Django, but what this
module uses, the management command, and ``apps`` with its ``checks``.
"""

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
from workers.command.launcher import launch
from workers.command.starting import when_served
from workers.exceptions import ConfigurationError
from workers.routing import Router
from workers.runtime.contexts import begin_with
from workers.runtime.dispatcher import OWN, ConsumerAPI
from workers.runtime.pool import SLOT_NAME
from workers.runtime.stopping import ExitCode

logger = logging.getLogger(__name__)

_opened_apart = False  # whether a connection was ever opened by a thread that runs no consumers itself


def launch_in_project(options: dict[str, Any]) -> int:
    """
    Runs a worker on the channel layer that ``--layer`` names in the settings; to be called after
    ``django.setup``. Where the project has Channels 1, that is Channels' own layer object, with Channels' routing.
    With channels in ``options["channels"]``, what it runs are the consumers of the ASGI application of Channels 4.

    Waits for servers that are needed to make the layer. Returns what ``launch`` returns, or 0 where a signal has
    ended the waiting. Raises ``ConfigurationError`` when the layer or its routing cannot be had.
    """
    alias = options["layer"]
    if options["channels"]:
        return _launch_events(_named_channels(options), options)
    if _has_channels1():
        from workers.compat import channels1  # here, because it needs Channels 1

        consumer_api = channels1.CONSUMER_API
        found = when_served(lambda: channels1.layer_and_router(alias, options["routing"]), options)
        if found is None:
            return ExitCode.CLEAN
        channel_layer, router = found
    else:
        consumer_api = OWN
        channel_layer = when_served(lambda: _layer(alias), options)
        if channel_layer is None:
            return ExitCode.CLEAN
        router = Router(options["routing"] or _routing(alias))
    look_after_connections(consumer_api)
    return launch(channel_layer, router, options, consumer_api)


def _launch_events(channels: list[str], options: dict[str, Any]) -> int:
    from workers.compat.channels4 import channel_events  # here, because few workers need asyncio

    channel_layer = when_served(lambda: _layer(options["layer"]), options)
    if channel_layer is None:
        return ExitCode.CLEAN
    events = channel_events(channels, channel_layer)
    look_after_connections(OWN)
    try:
        return launch(channel_layer, events.router, {**options, "only_channels": channels})
    finally:
        events.close()


def _named_channels(options: dict[str, Any]) -> list[str]:
    if _has_channels1():
        raise ConfigurationError("this is a project of Channels 1: it has a routing; choose by --only-channels")
    for flag in ("routing", "only_channels"):
        if options[flag]:
            name = flag.replace("_", "-")
            raise ConfigurationError(
                f"channels named on the command line are all that is listened on: leave out --{name}"
            )
    channels: list[str] = options["channels"]
    return channels


def look_after_connections(consumer_api: ConsumerAPI) -> None:
    """
    Has old database connections closed before and after each message, as Django does around each request: in the
    thread that runs it, and, for what is ``async def``, where ``sync_to_async`` runs the ORM.

    What Django keeps for a request, such as the active language, ends with the message. Its caches do not: those of a
    thread live as long as it does.
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
    """
    Closes this thread's database connections that are broken or past ``CONN_MAX_AGE``.

    With ``DEBUG`` it also forgets the queries that Django has written down.
    """
    if settings.DEBUG:
        reset_queries()
    try:
        close_old_connections()
    except DatabaseError:  # of a server that is away, perhaps: that ends no worker
        logger.exception("Could not close a database connection")


def _make_caches() -> None:
    for alias in settings.CACHES:
        with contextlib.suppress(Exception):  # who uses the cache gets the error
            caches[alias]


def _keeps_outside_contexts() -> bool:
    """Whether the active time zone, and what is kept like it, belongs to the thread: so it is with asgiref < 3.7."""
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


def _has_channels1() -> bool:
    if not apps.is_installed("channels"):
        return False
    version: str = getattr(apps.get_app_config("channels").module, "__version__", "")
    return version.startswith("1.")


def _layer(alias: str) -> BaseChannelLayer:
    try:
        channel_layer: BaseChannelLayer = get_channel_layer(alias)
    except (TypeError, ValueError) as error:
        raise ConfigurationError(f"channel layer {alias!r}: {error}") from error
    return channel_layer


def _routing(alias: str) -> Any:
    try:
        return settings.CHANNEL_LAYERS[alias]["ROUTING"]
    except KeyError:
        raise ConfigurationError(
            f"no ROUTING in CHANNEL_LAYERS[{alias!r}]: write the path of the routing there, or use --routing; "
            f"for the consumers of an ASGI application, name their channels"
        ) from None
