"""Lifecycle hooks: tasks that a worker performs alongside its messages."""

from __future__ import annotations

from typing import Protocol

from asgi_redis.layers.base import BaseChannelLayer
from workers.runtime.dispatcher import Dispatcher
from workers.runtime.limits import ChannelLimits
from workers.runtime.pool import Pool
from workers.runtime.stopping import Shutdown


class HookedWorker(Protocol):
    """The parts of a ``workers.Worker`` that hooks use; they are described there."""

    channel_layer: BaseChannelLayer
    channels: list[str]
    limits: ChannelLimits
    pool: Pool
    dispatcher: Dispatcher
    shutdown: Shutdown

    @property
    def popping(self) -> bool: ...

    @property
    def pulled_at(self) -> float: ...

    def quiet(self) -> None: ...


class LifecycleHook:
    """
    The base of hooks; its methods do nothing.

    The worker calls them in the thread of ``Worker.run``, in the order in which the hooks were given.
    """

    def start(self, worker: HookedWorker) -> None:
        """Called before the first message is received."""

    def check(self, worker: HookedWorker) -> str | None:
        """Called twice a second. Returns a reason to stop the worker, or None."""
        return None

    def quiet(self) -> None:
        """Called when the worker begins to stop."""

    def stop(self) -> None:
        """Called when no consumer runs any more, or the worker no longer waits for them."""
