"""
``--reload``: restarts the worker's process when its code changes.

When a loaded file changes, the same command is first started as a rehearsal: a process that loads everything and ends
before it does anything. If that succeeds the worker stops as usual, and its process is replaced (``exec``, so it
keeps its pid, its terminal and its supervisor). Otherwise the worker goes on with the old code, and tries again every
few seconds: it may lack a file that this process has never loaded. This is for development.
"""

from __future__ import annotations

import logging
import math
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType, ModuleType
from typing import IO

from workers.exceptions import ConfigurationError
from workers.runtime.hooks import HookedWorker, LifecycleHook
from workers.runtime.stopping import replace_process

logger = logging.getLogger(__name__)

RETRY_SECONDS = 2.0

_REHEARSAL = "ASGI_REDIS_REHEARSAL"
_RELOADED_AT = "ASGI_REDIS_RELOADED_AT"


def is_rehearsal() -> bool:
    """Return whether this process is a rehearsal."""
    return _REHEARSAL in os.environ


class Reloader(LifecycleHook):
    """
    Restarts the worker's process when a loaded file changes.

    A signal stops it without a restart. ``environment`` is added to that of the new process. Raises
    ``ConfigurationError`` where Python does not tell how this one was started.
    """

    def __init__(self, environment: Mapping[str, str] = MappingProxyType({})) -> None:
        self._command = own_command("--reload")
        self._environment = environment
        self._times: dict[str, float] = {}
        self._rehearsal: Rehearsal | None = None
        self._complaint: str | None = None
        self._retry_at = math.inf
        self._changed = ""
        self._worker: HookedWorker | None = None  # when it is to be restarted

    def start(self, worker: HookedWorker) -> None:
        """Record the modification times of the files."""
        self._times = _modified()
        # A file that has changed while this process was starting may have been loaded before.
        started = float(os.environ.get(_RELOADED_AT, time.time() - time.process_time()))
        for path, modified in self._times.items():
            if started < modified <= time.time():  # not by a clock that is ahead
                self._times[path] = 0.0

    def check(self, worker: HookedWorker) -> str | None:
        """Look for a change, then at its rehearsal; stop when that has succeeded."""
        before, self._times = self._times, _modified()
        changed = next((path for path, at in self._times.items() if before.get(path, at) != at), None)
        if changed is not None:
            self._changed, self._complaint = changed, None
        if changed is not None or time.monotonic() >= self._retry_at:
            self._end_rehearsal()
            self._retry_at = math.inf
            self._rehearsal = Rehearsal(self._command, self._environment)
        if self._rehearsal is None or not self._rehearsal.over:
            return None
        complaint = self._rehearsal.complaint
        self._end_rehearsal()
        if complaint is None:
            self._worker = worker
            return f"{self._changed} has changed"
        if complaint != self._complaint:
            logger.error(
                "%s has changed, but the code cannot be loaded; going on with the old\n%s", self._changed, complaint
            )
        self._complaint, self._retry_at = complaint, time.monotonic() + RETRY_SECONDS
        return None

    def quiet(self) -> None:
        """End a rehearsal that still runs."""
        self._end_rehearsal()

    def stop(self) -> None:
        """Replace this process, if it was stopped for that."""
        if self._worker is not None and self._worker.shutdown.signal is None:
            logger.info("Reloading")
            replace_process(self._command, {**self._environment, _RELOADED_AT: str(time.time())})

    def _end_rehearsal(self) -> None:
        if self._rehearsal is not None:
            self._rehearsal.close()
            self._rehearsal = None


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
        """Whether the process has ended."""
        return self._process.poll() is not None

    @property
    def complaint(self) -> str | None:
        """The output of a rehearsal that has failed, or None."""
        if self._process.wait() == 0:
            return None
        self._output.seek(0)
        return self._output.read().decode(errors="replace").rstrip()

    def close(self) -> None:
        """Kill the process, if it runs."""
        self._process.kill()
        self._process.wait()
        self._output.close()


def own_command(flag: str) -> list[str]:
    """Return the command that started this process, or raise ``ConfigurationError``."""
    if sys.version_info >= (3, 10):
        return [sys.executable, *sys.orig_argv[1:]]
    command_line = Path("/proc/self/cmdline")
    if not command_line.exists():
        raise ConfigurationError(f"{flag} needs Python 3.10, or Linux")
    return [sys.executable, *map(os.fsdecode, command_line.read_bytes().split(b"\0")[1:-1])]


def _modified() -> dict[str, float]:
    """Return the modification times of the files of all loaded modules."""
    modified = {}
    for module in list(sys.modules.values()):
        # Not getattr: some modules import others on access.
        path = vars(module).get("__file__") if isinstance(module, ModuleType) else None
        if isinstance(path, str) and path.endswith(".py"):
            try:
                modified[path] = Path(path).stat().st_mtime
            except (FileNotFoundError, NotADirectoryError):  # deleted, or in a zip file
                modified[path] = 0.0
    return modified
