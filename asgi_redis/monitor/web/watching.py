"""``WatchedLayer``: a layer whose monitor runs while its page is open."""

from __future__ import annotations

import threading
import time

from asgi_redis.layers.base import BaseChannelLayer
from asgi_redis.monitor.monitor import Monitor
from asgi_redis.monitor.snapshot import Snapshot

LINGER_SECONDS = 20.0
FIRST_PICTURE_SECONDS = 3.0


class WatchedLayer:
    """
    A layer, and its monitor while snapshots are asked for.

    The monitor starts with the first call of ``snapshot``, and ends ``linger`` seconds after the last. For all
    threads of one process.
    """

    def __init__(self, layer: BaseChannelLayer, linger: float = LINGER_SECONDS) -> None:
        self.layer = layer
        self._linger = linger
        self._until = 0.0
        self._monitor: Monitor | None = None
        self._thread: threading.Thread | None = None
        self._asked = threading.Condition()

    @property
    def watching(self) -> bool:
        """Whether the monitor runs."""
        return self._monitor is not None

    def snapshot(self) -> Snapshot:
        """Return the latest picture of the layer; wait a little for the first."""
        with self._asked:
            self._until = time.monotonic() + self._linger
            monitor = self._monitor
            if monitor is None:
                monitor = self._monitor = Monitor(self.layer)
                self._thread = threading.Thread(target=self._run, args=(monitor,), name="watching", daemon=True)
                self._thread.start()
        return monitor.wait(lambda snapshot: True, FIRST_PICTURE_SECONDS)

    def close(self) -> None:
        """End the monitor. The next call of ``snapshot`` starts another."""
        with self._asked:
            self._until = 0.0
            self._asked.notify_all()
            thread = self._thread
        if thread is not None:
            thread.join()

    def _run(self, monitor: Monitor) -> None:
        with monitor, self._asked:
            while (left := self._until - time.monotonic()) > 0:
                self._asked.wait(left)
            self._monitor = None
