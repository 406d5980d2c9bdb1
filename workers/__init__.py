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
    from workers.channel import Channel, Group
    from workers.exceptions import ConsumeLater, DenyConnection, WebsocketCloseException
    from workers.message import Message
    from workers.routing import include, route, route_class
    from workers.runtime.pool import Pool
    from workers.worker import Worker

default_app_config = "workers.apps.WorkersConfig"  # for Django before 3.2

_HOMES = {
    "Channel": "workers.channel",
    "ConsumeLater": "workers.exceptions",
    "DenyConnection": "workers.exceptions",
    "Group": "workers.channel",
    "Message": "workers.message",
    "Pool": "workers.runtime.pool",
    "WebsocketCloseException": "workers.exceptions",
    "Worker": "workers.worker",
    "include": "workers.routing",
    "route": "workers.routing",
    "route_class": "workers.routing",
}

__all__ = [
    "Channel",
    "ConsumeLater",
    "DenyConnection",
    "Group",
    "Message",
    "Pool",
    "WebsocketCloseException",
    "Worker",
    "include",
    "route",
    "route_class",
]

if not TYPE_CHECKING:  # a type checker would take every name for known
    __getattr__ = lazy_attributes(__name__, _HOMES)
