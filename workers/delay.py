"""
Delayed messages.

They are sent by ``Channel("asgi.delay").send({"channel": ..., "content": ..., "delay": milliseconds})``.

As in Channels 1.1.8, but stored in Redis (``layer.delayed``) instead of a database table, and served by every worker
that listens on ``asgi.delay``. Under a real Channels 1 its ``rundelay`` and its table keep working: a message stays
with the process that reads it. So exclude ``asgi.delay`` from the workers where ``rundelay`` is to have all messages.
"""

from __future__ import annotations

import logging
import threading
from typing import Any

from redis.exceptions import RedisError

from asgi_redis.exceptions import ConfigurationError, UnsupportedRedis
from asgi_redis.layers.base import BaseChannelLayer, DelayedSends
from workers.message import Message
from workers.routing import Route, Router, route
from workers.runtime.crashes import CrashLimiter
from workers.runtime.dispatcher import Postpone
from workers.runtime.hooks import HookedWorker, LifecycleHook

logger = logging.getLogger(__name__)

CHANNEL = "asgi.delay"
MAX_WAIT_SECONDS = 1.0  # another process may have stored a message that is due before those known here
_MAX_NAME = 512  # as in Channels 1


def with_delivery(router: Router, channel_layer: BaseChannelLayer) -> tuple[Router, Postpone | None, list[Delivery]]:
    """
    Return the routing with ``asgi.delay``, a function that postpones, and hooks.

    A routing that has the channel already keeps its consumer. The function is None where the layer stores no delayed
    messages.
    """
    if CHANNEL in router.channels:
        return router, by_channel(channel_layer), []
    if channel_layer.delayed is None:
        return router, None, []
    delivery = Delivery(channel_layer.delayed)
    return router.with_route(delivery.route), delivery.postpone, [delivery]


def by_channel(channel_layer: BaseChannelLayer) -> Postpone:
    """Return a function that postpones a message by sending it to ``asgi.delay``."""

    def postpone(channel: str, content: dict[str, Any], seconds: float) -> None:
        channel_layer.send(CHANNEL, {"channel": channel, "content": content, "delay": int(seconds * 1000)})

    return postpone


class Delivery(LifecycleHook):
    """
    Stores the messages on ``asgi.delay``, and delivers them in a thread when due.

    The messages come by ``route``. Does nothing in a worker that does not listen on the channel.
    """

    def __init__(self, store: DelayedSends) -> None:
        self._store = store
        self._stored = threading.Event()
        self._quieted = False
        self._failed = False
        self._thread: threading.Thread | None = None

    @property
    def route(self) -> Route:
        """The route for ``asgi.delay``."""
        return route(CHANNEL, self.store)

    def store(self, message: Message) -> None:
        """
        Store a message; the consumer of ``asgi.delay``.

        Raises ``ValueError`` for a message that is not one to delay, and ``TypeError`` or
        ``asgi_redis.MessageTooLarge`` for content that the layer would not send.
        """
        channel, content, delay = (message.get(key) for key in ("channel", "content", "delay"))
        if channel is None or content is None or delay is None:
            raise ValueError(f"a message on {CHANNEL} has the keys channel, content and delay")
        if not isinstance(channel, str) or not 0 < len(channel) <= _MAX_NAME:
            raise ValueError(f"the channel of a message on {CHANNEL} is a name, not {channel!r}")
        if isinstance(delay, bool) or not isinstance(delay, (int, float)):
            raise ValueError(f"the delay of a message on {CHANNEL} is in milliseconds, not {delay!r}")
        # As in Channels 1, a time in the past is valid: the message is due at once.
        self.postpone(channel, content, max(0.0, delay / 1000))

    def postpone(self, channel: str, content: dict[str, Any], seconds: float) -> None:
        """Send ``content`` to ``channel`` in ``seconds``. Never raises ``ChannelFull``."""
        self._store.send(channel, content, seconds)
        self._stored.set()

    def start(self, worker: HookedWorker) -> None:
        """Start delivering, if the worker listens on ``asgi.delay``."""
        if CHANNEL in worker.channels:
            self._thread = threading.Thread(target=self._run, name="delayed-messages", daemon=True)
            self._thread.start()

    def check(self, worker: HookedWorker) -> None:
        """Raise ``RuntimeError`` when delivering keeps failing."""
        if self._failed:
            raise RuntimeError("delivering delayed messages fails again and again")

    def quiet(self) -> None:
        self._quieted = True
        self._stored.set()

    def stop(self) -> None:
        """Wait for a delivery in progress, for as long as Redis takes to answer it."""
        if self._thread is not None:
            self._thread.join(MAX_WAIT_SECONDS)

    def _run(self) -> None:
        crashes = CrashLimiter()
        while not self._quieted:
            self._stored.clear()
            wait: float | None = None
            try:
                wait = self._store.deliver()
            except (RedisError, UnsupportedRedis, ConfigurationError) as error:
                # The receiver tells of it; it need not be logged twice.
                logger.debug("Delayed messages wait: %s", error)
            except BaseException:  # a thread that SystemExit ends says nothing
                logger.exception("Error while delivering delayed messages; it goes on")
                if crashes.add():
                    self._failed = True
                    return
            if not self._quieted:
                self._stored.wait(MAX_WAIT_SECONDS if wait is None else min(wait, MAX_WAIT_SECONDS))
