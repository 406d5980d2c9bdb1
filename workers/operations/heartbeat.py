"""``--heartbeat-file``: signs of life of the worker, for ``asgi-redis health``."""

from __future__ import annotations

import logging

from asgi_redis.process.heartbeat import beat
from workers.exceptions import ConfigurationError
from workers.operations.liveness import WorkerState, state_of
from workers.runtime.hooks import HookedWorker, LifecycleHook

logger = logging.getLogger(__name__)


class Heartbeat(LifecycleHook):
    """
    Touches the file at ``path`` twice a second while the worker pulls.

    The file says that the worker is ready while a server has answered the last receive: not before the first one,
    whatever an earlier worker has left there. Both end when the worker begins to stop.

    Raises ``ConfigurationError`` when it cannot touch the file.
    """

    def __init__(self, path: str) -> None:
        self._path = path
        self._fails = False
        try:
            beat(path, ready=False)
        except OSError as error:
            raise ConfigurationError(f"cannot touch the heartbeat file: {error}") from error

    def check(self, worker: HookedWorker) -> None:
        """Touch the file, if the worker pulls."""
        self.report(state_of(worker))

    def report(self, state: WorkerState) -> None:
        """Touch the file, if a worker in that state pulls."""
        if state.pulls:
            self._beat(state.popping)

    def quiet(self) -> None:
        """Touch the file for the last time: the worker is not ready for more messages."""
        self._beat(ready=False)

    def _beat(self, ready: bool) -> None:
        try:
            beat(self._path, ready)
        except OSError as error:
            if not self._fails:
                logger.error("Cannot touch the heartbeat file: %s", error)
            self._fails = True
        else:
            self._fails = False
