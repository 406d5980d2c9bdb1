"""
Notifies systemd of a ``Type=notify`` service: ready, alive, stopping.

The protocol is that of sd_notify(3): lines ``NAME=value`` in a datagram to the Unix socket that the environment
variable NOTIFY_SOCKET names, an abstract one if it starts with ``@``. The watchdog's variables are those of
sd_watchdog_enabled(3).
"""

from __future__ import annotations

import logging
import os
import socket
import time
from collections.abc import Mapping

from workers.exceptions import ConfigurationError
from workers.operations.liveness import WorkerState, state_of
from workers.runtime.hooks import HookedWorker, LifecycleHook

logger = logging.getLogger(__name__)

STATUS_SECONDS = 10.0


class SystemdNotifier(LifecycleHook):
    """
    Notifies the socket at ``address`` of the worker's state.

    The worker is ready when it pops for the first time. ``watchdog`` is the number of seconds within which systemd
    expects a sign of life, or None. It gets one twice as often while the worker pulls.
    """

    def __init__(self, address: str, watchdog: float | None = None) -> None:
        self._address = "\0" + address[1:] if address.startswith("@") else address
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        # systemd may be busy, and the main thread has to handle signals.
        self._socket.setblocking(False)
        self._watchdog = watchdog
        self._ready = self._fails = False
        self._activity = ""
        self._alive_at = self._status_at = 0.0

    def start(self, worker: HookedWorker) -> None:
        """Report that the worker waits for Redis."""
        self._notify("STATUS=Waiting for Redis")

    def check(self, worker: HookedWorker) -> None:
        """Report the worker's state."""
        self.report(state_of(worker))

    def report(self, state: WorkerState) -> None:
        """Report a state where it has changed, and a sign of life."""
        now = time.monotonic()
        if state.popping and not self._ready:
            self._ready = self._notify("READY=1")
        if self._watchdog is not None and now >= self._alive_at + self._watchdog / 2 and state.pulls:
            self._alive_at = now
            self._notify("WATCHDOG=1")
        activity = "Stuck" if state.stuck else "Listening" if state.popping else "Waiting for Redis"
        if activity != self._activity or now >= self._status_at + STATUS_SECONDS:
            self._activity, self._status_at = activity, now
            self._notify(
                f"STATUS={activity}; {state.in_progress} messages in progress, {state.done} done, "
                f"{state.failed} of them failed"
            )

    def quiet(self) -> None:
        """Report that the worker stops."""
        self._notify("STOPPING=1\nSTATUS=Waiting for running consumers")

    def stop(self) -> None:
        self._socket.close()

    def _notify(self, lines: str) -> bool:
        try:
            self._socket.sendto(lines.encode(), self._address)
        except OSError as error:
            if not self._fails:
                logger.warning("Cannot tell systemd %s: %s", lines.partition("\n")[0], error)
            self._fails = True
            return False
        self._fails = False
        return True


def notifier_from(environment: Mapping[str, str]) -> SystemdNotifier | None:
    """
    Return the notifier that systemd's variables ask for, if they do.

    Raises ``ConfigurationError`` for values that systemd does not write.
    """
    address = environment.get("NOTIFY_SOCKET")
    if not address:
        return None
    if address[0] not in "/@":
        raise ConfigurationError(f"NOTIFY_SOCKET must be a path or start with @, not {address!r}")
    microseconds = environment.get("WATCHDOG_USEC")
    # Without a pid the watchdog is for every process.
    if not microseconds or environment.get("WATCHDOG_PID", str(os.getpid())) != str(os.getpid()):
        return SystemdNotifier(address)
    if not microseconds.isdecimal() or not int(microseconds):
        raise ConfigurationError(f"WATCHDOG_USEC must be a number of microseconds, not {microseconds!r}")
    return SystemdNotifier(address, int(microseconds) / 1_000_000)
