"""The classes that consumers know the worker by: those of this package, or those of an installed Channels 1."""

from __future__ import annotations

from types import ModuleType
from typing import Any, Callable, NamedTuple

from asgi_redis.layers.base import BaseChannelLayer
from workers import exceptions, signals
from workers.message import Message


class ConsumerAPI(NamedTuple):
    """
    ``message`` makes the message for a consumer from its content, its channel's name and the layer. ``signals`` and
    ``exceptions`` are modules that have the names of ``workers.signals`` and ``workers.exceptions`` in Channels 1.
    """

    message: Callable[[dict[str, Any], str, BaseChannelLayer], Any]
    signals: ModuleType
    exceptions: ModuleType


OWN = ConsumerAPI(Message, signals, exceptions)
