"""
The worker of Django Channels 1, for any synchronous channel layer.

It has routing, consumers, and the process that runs them. Django is optional: only ``compat.django``, ``sessions``,
``auth`` and ``apps`` need it.

Modules are imported at their first use, so that ``--pool gevent`` can patch the standard library before.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from asgi_redis.process.lazy import lazy_attributes

if TYPE_CHECKING:
    from workers.asgi import DEFAULT_CHANNEL_LAYER as DEFAULT_CHANNEL_LAYER
    from workers.asgi import channel_layers as channel_layers
    from workers.channel import Channel as Channel
    from workers.channel import Group as Group
    from workers.exceptions import ConsumeLater as ConsumeLater
    from workers.exceptions import DenyConnection as DenyConnection
    from workers.exceptions import WebsocketCloseException as WebsocketCloseException
    from workers.message import Message as Message
    from workers.routing import include as include
    from workers.routing import route as route
    from workers.routing import route_class as route_class
    from workers.runtime.pool import Pool as Pool
    from workers.worker import Worker as Worker

default_app_config = "workers.apps.WorkersConfig"  # for Django before 3.2

_HOMES = {
    "Channel": "workers.channel",
    "ConsumeLater": "workers.exceptions",
    "DEFAULT_CHANNEL_LAYER": "workers.asgi",
    "DenyConnection": "workers.exceptions",
    "Group": "workers.channel",
    "Message": "workers.message",
    "Pool": "workers.runtime.pool",
    "WebsocketCloseException": "workers.exceptions",
    "Worker": "workers.worker",
    "channel_layers": "workers.asgi",
    "include": "workers.routing",
    "route": "workers.routing",
    "route_class": "workers.routing",
}

if not TYPE_CHECKING:  # a type checker would take every name for known
    __all__ = [*_HOMES]
    __getattr__ = lazy_attributes(__name__, _HOMES)
