"""
Fetches messages for free slots: slot first, then receive.

The wait for a message is short, and ended by ``quiet``, so that a stop is noticed at once without losing a
message that arrives in that moment: what a receive returns is always run.
"""

from __future__ import annotations

import functools
import logging
import threading
import time
from collections.abc import Iterable
from typing import Any, Callable

from redis.exceptions import RedisError

from asgi_redis.exceptions import ChannelLayerError
from workers.layers import ChannelLayer
from workers.outage import Outage
from workers.pool import Pool

logger = logging.getLogger(__name__)

# A stop ends the wait by way of Redis; with Redis away nothing can, but then this does.
WAIT_SECONDS = 2.0
UNBLOCK_INTERVAL = 0.05

Handler = Callable[[str, "dict[str, Any]"], None]


class Puller:
    """
    The thread that pulls from ``channels`` of a layer into the slots of a pool.

    ``handle(channel, content)`` is run in a slot for each message. ``on_end`` is called when the thread ends,
    for whatever reason; ``failure`` then is the exception that ended it, or None.
    """

    def __init__(
        self,
        channel_layer: ChannelLayer,
        channels: Iterable[str],
        pool: Pool,
        handle: Handler,
        on_end: Callable[[], None],
    ) -> None:
        self.failure: BaseException | None = None
        self._layer = channel_layer
        self._channels = sorted(channels)
        self._pool = pool
        self._handle = handle
        self._on_end = on_end
        self._outage = Outage()
        self._quieted = threading.Event()  # never cleared: a stop that comes before the start is kept
        self._thread = threading.Thread(target=self._run, name="puller", daemon=True)

    def start(self) -> None:
        """Starts pulling."""
        self._thread.start()

    def quiet(self) -> None:
        """Stops pulling, without waiting for it."""
        if self._quieted.is_set():
            return
        self._quieted.set()
        self._pool.quiet()
        if self._thread.is_alive():
            # In a thread of its own: a hanging Redis is not to keep the caller from a second signal.
            threading.Thread(target=self._unblock, name="unblocker", daemon=True).start()

    def stop(self, deadline: float) -> bool:
        """Waits for the thread's end; returns whether that was by ``deadline`` (``time.monotonic``)."""
        if self._thread.ident is not None:
            self._thread.join(max(0.0, deadline - time.monotonic()))
        return not self._thread.is_alive()

    def _run(self) -> None:
        try:
            while not self._quieted.is_set():
                slots = self._pool.acquire()
                try:
                    if slots and not self._quieted.is_set():
                        for channel, content in self._receive(slots):
                            self._pool.submit(functools.partial(self._handle, channel, content))
                            slots -= 1
                finally:
                    if slots:
                        self._pool.release(slots)
        except ChannelLayerError as error:
            self.failure = error
            logger.critical("The worker ends: %s", error)
        except BaseException as error:
            self.failure = error
            logger.critical("The puller has failed; the worker ends", exc_info=True)
        finally:
            self._on_end()

    def _receive(self, slots: int) -> list[tuple[str, dict[str, Any]]]:
        # In an outage without waiting, so that its end is known, and logged, as soon as Redis answers.
        timeout = 0 if self._outage.lasts else WAIT_SECONDS
        try:
            batch = self._layer.receive_batch(self._channels, slots, timeout)
        except RedisError as error:
            self._quieted.wait(self._outage.failed(error))
            return []
        self._outage.succeeded()
        return batch

    def _unblock(self) -> None:
        # Again and again: the puller may be about to receive when the first call is made.
        while self._thread.is_alive():
            try:
                self._layer.unblock()
            except RedisError as error:
                logger.debug("Could not unblock the puller: %s", error)
            self._thread.join(UNBLOCK_INTERVAL)
