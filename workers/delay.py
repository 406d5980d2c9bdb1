"""
Delayed messages: ``Channel("asgi.delay").send({"channel": ..., "content": ..., "delay": milliseconds})``.

As in Channels 1.1.8, but kept in Redis (``layer.delayed``) instead of a database table, and served by every worker
that listens on ``asgi.delay``. Under a real Channels 1 its ``rundelay`` and its table keep working: whichever of the
two reads a message keeps it, so exclude ``asgi.delay`` from the workers where ``rundelay`` is to have them all.
"""

from __future__ import annotations

import logging
import threading
from typing import Any, Callable

from redis.exceptions import RedisError

from asgi_redis.exceptions import UnsupportedRedis
from asgi_redis.layers.base import BaseChannelLayer, DelayedSends
from workers.message import Message
from workers.routing import Route, route
from workers.runtime.crashes import CrashLimiter
from workers.runtime.hooks import HookedWorker, LifecycleHook

logger = logging.getLogger(__name__)

CHANNEL = "asgi.delay"
LONGEST_SLEEP = 1.0  # another process may have stored a message that is due before those known here
_MAX_NAME = 512  # as in Channels 1


def by_channel(channel_layer: BaseChannelLayer) -> Callable[[str, dict[str, Any], float], None]:
    """Returns what postpones a message by sending it to ``asgi.delay``, for whatever consumes that."""

    def postpone(channel: str, content: dict[str, Any], seconds: float) -> None:
        channel_layer.send(CHANNEL, {"channel": channel, "content": content, "delay": int(seconds * 1000)})

    return postpone


class Delivery(LifecycleHook):
    """
    Stores what comes on ``asgi.delay`` (by ``route``), and delivers what is due, in a thread of its own.

    To be given to a worker as a duty, with ``route`` in its routing. Does nothing in a worker that does not
    listen on the channel.
    """

    def __init__(self, delayed: DelayedSends) -> None:
        self._delayed = delayed
        self._stored = threading.Event()
        self._quieted = False
        self._thread: threading.Thread | None = None
        self._deaths = CrashLimiter()

    @property
    def route(self) -> Route:
        """The route for ``asgi.delay``."""
        return route(CHANNEL, self.store)

    def store(self, message: Message) -> None:
        """
        The consumer of ``asgi.delay``. Raises ``ValueError`` for a message that is not one to delay.

        Raises ``TypeError`` and ``asgi_redis.MessageTooLarge`` for one that the layer would not send.
        """
        channel, content, delay = (message.get(key) for key in ("channel", "content", "delay"))
        if channel is None or content is None or delay is None:
            raise ValueError(f"a message on {CHANNEL} has the keys channel, content and delay")
        if not isinstance(channel, str) or not 0 < len(channel) <= _MAX_NAME:
            raise ValueError(f"the channel of a message on {CHANNEL} is a name, not {channel!r}")
        if isinstance(delay, bool) or not isinstance(delay, (int, float)):
            raise ValueError(f"the delay of a message on {CHANNEL} is in milliseconds, not {delay!r}")
        # Channels 1 takes a time that is past, too: it is due at once.
        self.postpone(channel, content, max(0.0, delay / 1000))

    def postpone(self, channel: str, content: dict[str, Any], seconds: float) -> None:
        """Sends ``content`` to ``channel`` in ``seconds``; raises what the layer does, but ``ChannelFull``."""
        self._delayed.send(channel, content, seconds)
        self._stored.set()

    def start(self, worker: HookedWorker) -> None:
        """Starts delivering, if the worker listens on ``asgi.delay``."""
        if CHANNEL in worker.channels:
            self._start()

    def check(self, worker: HookedWorker) -> str | None:
        """Replaces a thread that has died; raises ``RuntimeError`` where that keeps happening."""
        if self._thread is not None and not self._thread.is_alive() and not self._quieted:
            self._deaths.add()
            if self._deaths.tripped:
                raise RuntimeError("the thread that delivers delayed messages dies again and again")
            logger.warning("Replacing the thread that delivers delayed messages")
            self._start()
        return None

    def quiet(self) -> None:
        """Delivers no more."""
        self._quieted = True
        self._stored.set()

    def stop(self) -> None:
        """Waits for a delivery that is under way, for as long as Redis takes to answer it."""
        if self._thread is not None:
            self._thread.join(LONGEST_SLEEP)

    def _start(self) -> None:
        self._thread = threading.Thread(target=self._run, name="delayed-messages", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        try:
            while not self._quieted:
                self._stored.clear()
                wait = self._deliver()
                if not self._quieted:
                    self._stored.wait(LONGEST_SLEEP if wait is None else min(wait, LONGEST_SLEEP))
        except BaseException:  # a thread that SystemExit ends says nothing
            logger.exception("The thread that delivers delayed messages has died")

    def _deliver(self) -> float | None:
        try:
            return self._delayed.deliver()
        except (RedisError, UnsupportedRedis) as error:
            # Whoever receives tells of the outage, in one line; it need not be told twice.
            logger.debug("Delayed messages wait: %s", error)
            return LONGEST_SLEEP
