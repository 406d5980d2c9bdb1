"""
``--processes N``: one command that runs several worker processes, and does nothing else.

Each is the same command once more, started anew: nothing is shared with it but two pairs of sockets (see
``operations.supervised``). The first one is alone until it listens, so that a wrong configuration is told once. A
process that dies is replaced; when that keeps happening the supervisor fails. What tells others how the worker does,
systemd's protocol, the heartbeat file and the metrics, is the supervisor's, for all its processes together.

The order of a stop:

1. The first SIGTERM or SIGINT is recorded; each process is sent SIGTERM, and does what a worker does then.
2. They are waited for. Each keeps to the shutdown timeout; one that has not ended 10 seconds after it is killed.
3. The exit code is theirs, leaving those out that are 0; where they differ, that of a failure.

A further signal, a second after the first or later, is passed on, too, and ends each of them at once.
"""

from __future__ import annotations

import contextlib
import logging
import os
import select
import signal
import socket
import threading
import time
from collections.abc import Mapping
from typing import Any

from workers.command.launcher import show_log
from workers.command.processes import Process, metrics_of
from workers.operations.heartbeat import Heartbeat
from workers.operations.liveness import State, combined
from workers.operations.metrics import serve
from workers.operations.reloading import is_rehearsal, own_command
from workers.operations.supervised import place_from
from workers.operations.systemd import systemd_from
from workers.runtime.crashes import CrashLimiter
from workers.runtime.stopping import ExitCode, Shutdown

logger = logging.getLogger(__name__)

LOOK_SECONDS = 0.5
RESTART_SECONDS = 1.0  # from a loss to the next start
KILL_SECONDS = 10.0  # past the shutdown timeout
KILL_AT_ONCE_SECONDS = 5.0  # past a second signal
FINAL_CODES = (ExitCode.CONFIGURATION, 2, ExitCode.UNREACHABLE)  # of a first process; 2 is argparse's


def is_wanted(options: Mapping[str, Any]) -> bool:
    """Whether this process is to supervise others, rather than to be a worker itself."""
    return options["processes"] > 1 and place_from(os.environ) is None and not is_rehearsal()


class Supervisor:
    """
    Runs the processes that the flags of ``arguments.add_worker_arguments`` ask for.

    Raises ``ConfigurationError`` where the heartbeat file or the address of the metrics cannot be had, or Python does
    not tell how this process was started.
    """

    def __init__(self, options: Mapping[str, Any]) -> None:
        self._command = own_command("--processes")
        self._burst = options["burst"]
        self._shutdown_timeout = 0.0 if options["disable_graceful_stop"] else options["shutdown_timeout"]
        self._systemd = systemd_from(os.environ)
        self._heartbeat = None if options["heartbeat_file"] is None else Heartbeat(options["heartbeat_file"])
        self._places: list[Process | None] = [None] * options["processes"]
        self._codes: dict[int, int] = {}  # of the processes that are not replaced
        self._listened = False  # whether any process ever has
        self._crashes = CrashLimiter()
        self._start_at = 0.0
        self._closing = threading.Lock()  # held while the metrics' thread reads from the processes' sockets
        self.stopped_at: float | None = None
        self._kill_at = float("inf")
        self._code: int | None = None  # of a failure, or a second signal
        self.shutdown = Shutdown(self._wake)
        self._woken, self._waker = socket.socketpair()
        self._waker.setblocking(False)
        self._server = None if options["metrics_port"] is None else serve(options["metrics_port"], self._metrics)

    def run(self) -> int:
        """Serves until a signal or a failure, or with ``--burst`` until all have ended; returns the exit code."""
        logger.info("Supervising %d worker processes", len(self._places))
        if self._server is not None:
            logger.info("Metrics are at http://%s:%d/metrics", *self._server.address)
        with self._woken, self._waker, self.shutdown:
            looked_at = 0.0
            while not self._done():
                self._start_missing()
                self._wait()
                self._reap()
                if time.monotonic() >= looked_at + LOOK_SECONDS:
                    looked_at = time.monotonic()
                    self._report()
                self._act_on_signals()
                self._kill_late()
        if self._server is not None:
            self._server.close()
        if self._systemd is not None:
            self._systemd.stop()
        logger.info("Stopped; all worker processes have ended")
        return self._common_code() if self._code is None else self._code

    def _processes(self) -> list[Process]:
        return [process for process in self._places if process is not None]

    def _done(self) -> bool:
        ended = self.stopped_at is not None or (self._burst and len(self._codes) == len(self._places))
        return ended and not self._processes()

    def _start_missing(self) -> None:
        if self.stopped_at is not None or time.monotonic() < self._start_at:
            return
        for index, process in enumerate(self._places):
            if process is None and index not in self._codes:
                try:
                    self._places[index] = Process(index, self._command)
                except OSError as error:  # no memory, or no more processes
                    self._lost(f"Worker process {index} cannot be started: {error}")
                    return
            if not self._listened:
                return

    def _wait(self) -> None:
        poller = select.poll()
        poller.register(self._woken, select.POLLIN)
        for process in self._processes():
            poller.register(process.states, select.POLLIN)
        poller.poll(LOOK_SECONDS / 5 * 1000)
        with contextlib.suppress(BlockingIOError):
            self._woken.recv(1 << 10, socket.MSG_DONTWAIT)
        for process in self._processes():
            self._listened = process.read_state() or self._listened

    def _reap(self) -> None:
        for index, process in enumerate(self._places):
            code = None if process is None else process.ended()
            if process is None or code is None:
                continue
            self._listened = process.read_state() or self._listened
            with self._closing:
                self._places[index] = None
                process.close()
            if self.stopped_at is not None:
                # Before it had its handlers, a signal was the end of it.
                self._codes[index] = ExitCode.CLEAN if code < 0 and not process.listened else code
            elif code in FINAL_CODES and not self._listened:
                self._stop(code)
            elif self._burst:
                self._codes[index] = code
            elif code == ExitCode.CLEAN and process.listened:
                logger.info("%s has ended; another takes its place", process)
            else:
                how = f"exit code {code}" if code >= 0 else f"signal {-code}"
                self._lost(f"{process} has died with {how}; another takes its place")

    def _lost(self, what: str) -> None:
        self._start_at = time.monotonic() + RESTART_SECONDS
        logger.error("%s", what)
        if self._crashes.add():
            logger.critical("Worker processes die again and again; the supervisor ends")
            self._stop(ExitCode.FAILED)

    def _report(self) -> None:
        states = [state for process in self._processes() for state in [process.state()] if state is not None]
        together = combined(states) if states else State(pulls=self._listened)  # all may be about to be replaced
        if self._heartbeat is not None and self.stopped_at is None:
            self._heartbeat.report(together)
        if self._systemd is not None and self.stopped_at is None:
            # Not ready before all are.
            self._systemd.report(together._replace(popping=together.popping and len(states) == len(self._places)))

    def _metrics(self) -> bytes:
        with self._closing:
            return metrics_of(self._processes(), len(self._places))

    def _wake(self) -> None:
        # Called within a signal handler.
        with contextlib.suppress(BlockingIOError):
            self._waker.send(b"x")

    def _act_on_signals(self) -> None:
        first, second = self.shutdown.signal, self.shutdown.second_signal
        if first is not None and self.stopped_at is None:
            logger.info("Signal %d: stopping %d worker processes", first, len(self._processes()))
            self._stop(None)
        elif second is not None and self._code != 128 + second and self._processes():
            logger.warning("Signal %d again: stopping at once", second)
            self._code = 128 + second
            self._kill_at = time.monotonic() + KILL_AT_ONCE_SECONDS
            self._pass_on()

    def _stop(self, code: int | None) -> None:
        self.shutdown.begin()
        self.stopped_at, self._code = self.shutdown.began_at, code
        self._kill_at = time.monotonic() + self._shutdown_timeout + KILL_SECONDS
        if self._systemd is not None:
            self._systemd.quiet()
        self._pass_on()

    def _pass_on(self) -> None:
        for process in self._processes():
            process.signal(signal.SIGTERM)

    def _kill_late(self) -> None:
        if time.monotonic() >= self._kill_at:
            for process in self._processes():
                logger.critical("%s does not end: it is killed", process)
                process.signal(signal.SIGKILL)
            self._kill_at = float("inf")
            self._code = ExitCode.TIMED_OUT if self._code is None else self._code

    def _common_code(self) -> int:
        failures = set(self._codes.values()) - {ExitCode.CLEAN}
        if not failures:
            return ExitCode.CLEAN
        (code, *others) = failures
        return ExitCode.FAILED if others or code not in set(ExitCode) else code


def supervise(options: Mapping[str, Any]) -> int:
    """Runs a ``Supervisor`` until it stops; returns the exit code. To be called in the main thread."""
    show_log(options["verbosity"])
    supervisor = Supervisor(options)
    supervisor.shutdown.ends_process = True
    return supervisor.run()
