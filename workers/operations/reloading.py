"""
``--reload``: a worker that takes up changes of its code, for development.

When a file changes that was loaded, the same command is first started beside it, for a rehearsal: a process that
loads everything and ends before it does anything. If that goes well the worker stops as usual, and its process
becomes a new one (``exec``, so it keeps its pid, its terminal and whoever supervises it). Otherwise it goes on with
the old code, and tries again every few seconds, for what is missing may be a file that this process knows nothing of.
"""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from types import FrameType, MappingProxyType, ModuleType
from typing import IO

from workers.exceptions import ConfigurationError
from workers.runtime.hooks import HookedWorker, LifecycleHook
from workers.runtime.stopping import SIGNALS, flush_std_streams

logger = logging.getLogger(__name__)

RETRY_SECONDS = 2.0

_REHEARSAL = "ASGI_REDIS_REHEARSAL"
_RELOADED_AT = "ASGI_REDIS_RELOADED_AT"


def is_rehearsal() -> bool:
    """Whether this process has been started only to see whether it can be."""
    return _REHEARSAL in os.environ


class Reloading(LifecycleHook):
    """
    Restarts the worker's process when a loaded file changes, unless a signal has told it to stop.

    ``environment`` is what the new process is to have, too. Raises ``ConfigurationError`` where Python does not tell
    how this one was started.
    """

    def __init__(self, environment: Mapping[str, str] = MappingProxyType({})) -> None:
        self._command = own_command("--reload")
        self._environment = environment
        self._times: dict[str, float] = {}
        self._rehearsal: Rehearsal | None = None
        self._complaint: str | None = None
        self._retry_at = float("inf")
        self._changed = ""
        self._reloads = False
        self._signalled = False

    def start(self, worker: HookedWorker) -> None:
        """Takes note of the files, and begins to listen for signals, too."""
        for number in SIGNALS:
            self._overhear(number)
        self._times = _modified()
        # What has changed while this process was starting may have been loaded before it did.
        started = float(os.environ.get(_RELOADED_AT, time.time() - time.process_time()))
        for path, modified in self._times.items():
            if started < modified <= time.time():  # not of a clock that is ahead
                self._times[path] = 0.0

    def check(self, worker: HookedWorker) -> str | None:
        """Looks for a change, and then how its rehearsal goes."""
        before, self._times = self._times, _modified()
        changed = next((path for path, at in self._times.items() if before.get(path, at) != at), None)
        if changed is not None:
            self._changed, self._complaint = changed, None
        if changed is not None or time.monotonic() >= self._retry_at:
            self._end_rehearsal()
            self._retry_at = float("inf")
            self._rehearsal = Rehearsal(self._command, self._environment)
        if self._rehearsal is None or not self._rehearsal.over:
            return None
        complaint = self._rehearsal.complaint
        self._end_rehearsal()
        if complaint is None:
            self._reloads = True
            return f"{self._changed} has changed"
        if complaint != self._complaint:
            logger.error(
                "%s has changed, but the code cannot be loaded; going on with the old\n%s", self._changed, complaint
            )
        self._complaint, self._retry_at = complaint, time.monotonic() + RETRY_SECONDS
        return None

    def quiet(self) -> None:
        """Ends a rehearsal that still goes on."""
        self._end_rehearsal()

    def stop(self) -> None:
        """Makes this process a new one, if that is what it stopped for."""
        if not self._reloads or self._signalled:
            return
        logger.info("Reloading")
        logging.shutdown()
        flush_std_streams()
        environment = {**os.environ, **self._environment, _RELOADED_AT: str(time.time())}
        os.execve(self._command[0], self._command, environment)  # noqa: S606  no shell is the point

    def _end_rehearsal(self) -> None:
        if self._rehearsal is not None:
            self._rehearsal.close()
            self._rehearsal = None

    def _overhear(self, number: signal.Signals) -> None:
        handle = signal.getsignal(number)
        assert callable(handle), "the worker has its handlers in place"

        def overhear(number: int, frame: FrameType | None) -> None:
            self._signalled = True
            handle(number, frame)

        signal.signal(number, overhear)


class Rehearsal:
    """A run of the command that is to end before the worker would start."""

    def __init__(self, command: list[str], environment: Mapping[str, str]) -> None:
        self._output: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115  closed by ``close``
        self._process = subprocess.Popen(
            command,
            env={**os.environ, **environment, _REHEARSAL: "1"},
            stdin=subprocess.DEVNULL,
            stdout=self._output,
            stderr=self._output,
        )

    @property
    def over(self) -> bool:
        """Whether it has ended."""
        return self._process.poll() is not None

    @property
    def complaint(self) -> str | None:
        """What it wrote when it failed; None when it did not."""
        if self._process.wait() == 0:
            return None
        self._output.seek(0)
        return self._output.read().decode(errors="replace").rstrip()

    def close(self) -> None:
        """Ends it."""
        self._process.kill()
        self._process.wait()
        self._output.close()


def own_command(flag: str) -> list[str]:
    """Returns the command that started this process; raises ``ConfigurationError`` where Python cannot tell."""
    if sys.version_info >= (3, 10):
        return [sys.executable, *sys.orig_argv[1:]]
    command_line = Path("/proc/self/cmdline")
    if not command_line.exists():
        raise ConfigurationError(f"{flag} needs Python 3.10, or Linux")
    return [sys.executable, *map(os.fsdecode, command_line.read_bytes().split(b"\0")[1:-1])]


def _modified() -> dict[str, float]:
    """Returns when the files of all loaded modules were last modified."""
    modified = {}
    for module in list(sys.modules.values()):
        # Not getattr: some modules load what they are asked for.
        path = vars(module).get("__file__") if isinstance(module, ModuleType) else None
        if isinstance(path, str) and path.endswith(".py"):
            try:
                modified[path] = Path(path).stat().st_mtime
            except (FileNotFoundError, NotADirectoryError):  # deleted, or in a zip file
                modified[path] = 0.0
    return modified
