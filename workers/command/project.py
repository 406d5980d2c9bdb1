"""Starts the worker of a Django project, on a channel layer of its settings."""

from __future__ import annotations

import dataclasses

from workers.asgi import channel_layers
from workers.command.arguments import WorkerOptions
from workers.command.launcher import launch, when_served
from workers.compat.django import has_channels1, layer_of_project, treat_messages_as_requests
from workers.exceptions import ConfigurationError
from workers.routing import Router
from workers.runtime.dispatcher import OWN


def launch_in_project(options: WorkerOptions) -> int:
    """
    Run a worker on the channel layer that ``--layer`` names.

    To be called after ``django.setup``. With Channels 1 that is Channels' own layer object, with Channels' routing.
    With ``channels`` the worker runs the consumers of the ASGI application of Channels 4. Waits for servers that are
    needed to make the layer. Returns and raises as ``launch``, and raises ``ConfigurationError`` when there is no
    layer or no routing.
    """
    if options.channels:
        return _launch_events(options)
    if has_channels1():
        from workers.compat import channels1  # here, because it needs Channels 1

        consumer_api = channels1.CONSUMER_API
        channel_layer, router = when_served(
            lambda: channels1.layer_and_router(options.layer, options.routing), options
        )
    else:
        consumer_api = OWN
        channel_layer = when_served(lambda: layer_of_project(options.layer), options)
        from workers.compat import views  # here, because the Django of Channels 1 is too old

        router = Router(options.routing) if options.routing else channel_layers[options.layer].router
        if views.serves_requests(router, options.only_channels, options.exclude_channels):
            router = views.with_views(router)
    treat_messages_as_requests(consumer_api)
    return launch(channel_layer, router, options, consumer_api)


def _launch_events(options: WorkerOptions) -> int:
    if has_channels1():
        raise ConfigurationError("this is a project of Channels 1: it has a routing; choose by --only-channels")
    for flag, value in (("--routing", options.routing), ("--only-channels", options.only_channels)):
        if value:
            raise ConfigurationError(
                f"channels named on the command line are all that is listened on: leave out {flag}"
            )
    from workers.compat.channels4 import channel_events  # here, because few workers need asyncio

    channel_layer = when_served(lambda: layer_of_project(options.layer), options)
    events = channel_events(options.channels, channel_layer)
    treat_messages_as_requests(OWN)
    try:
        return launch(channel_layer, events.router, dataclasses.replace(options, only_channels=options.channels))
    finally:
        events.close()
