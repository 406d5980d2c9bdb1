"""``--heartbeat-file``: a file that is touched while the worker pulls, for probes."""

from __future__ import annotations

import errno
import logging
import os
import stat

from workers.exceptions import ConfigurationError
from workers.operations.liveness import WorkerState, state_of
from workers.runtime.hooks import HookedWorker, LifecycleHook

logger = logging.getLogger(__name__)

# The path may be in a folder such as /tmp, where another user can put a link, a pipe or a file of that name first.
_FLAGS = os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


class Heartbeat(LifecycleHook):
    """
    Touches the file at ``path`` twice a second while the worker pulls.

    It ends when the worker begins to stop. Raises ``ConfigurationError`` when it cannot touch the file.
    """

    def __init__(self, path: str) -> None:
        self._path = path
        self._fails = False
        try:
            touch(path)
        except OSError as error:
            raise ConfigurationError(f"cannot touch the heartbeat file: {error}") from error

    def check(self, worker: HookedWorker) -> None:
        """Touch the file, if the worker pulls."""
        self.report(state_of(worker))

    def report(self, state: WorkerState) -> None:
        """Touch the file, if a worker in that state pulls."""
        if not state.pulls:
            return
        try:
            touch(self._path)
        except OSError as error:
            if not self._fails:
                logger.error("Cannot touch the heartbeat file: %s", error)
            self._fails = True
        else:
            self._fails = False


def touch(path: str) -> None:
    """
    Set the modification time of a file to now; create the file if need be.

    Raises ``OSError``, also for a link, no regular file, or a file of a user other than this one and root.
    """
    descriptor = os.open(path, _FLAGS, 0o644)
    try:
        found = os.fstat(descriptor)
        if not stat.S_ISREG(found.st_mode):
            raise FileExistsError(errno.EEXIST, "it is not a regular file", path)
        if found.st_uid not in (0, os.geteuid()):
            raise PermissionError(errno.EPERM, "it belongs to another user", path)
        os.utime(descriptor)
    finally:
        os.close(descriptor)
