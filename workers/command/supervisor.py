"""
``--processes N``: starts worker processes, and replaces dead and stuck ones.

Each runs the same command again, and shares nothing with it but the sockets of ``command.processes``. The first one
is alone until it listens, so that a wrong configuration is reported once. When processes keep dying the supervisor
fails. It notifies systemd, touches the heartbeat file and serves the metrics for all processes together.

A process that is stuck, by ``--stuck-timeout``, or has reported nothing for as long, is sent SIGTERM, stops as a
worker does, and is killed if it runs 10 seconds longer than the shutdown timeout. Then another takes its place.

The order of a stop:

1. The first SIGTERM or SIGINT is recorded; each process is sent SIGTERM, and stops as a worker does.
2. The supervisor waits for them. Each keeps to the shutdown timeout, and is killed if it runs 10 seconds longer.
3. The exit code is that of the processes which did not exit with 0; where these differ, that of a failure.

A further signal, a second after the first or later, is passed on, too, and ends each process at once.
"""

from __future__ import annotations

import contextlib
import logging
import math
import os
import signal
import time
from queue import Empty, SimpleQueue

from workers.command.arguments import WorkerOptions
from workers.command.launcher import show_log
from workers.command.patching import PROCESS_VARIABLE
from workers.command.processes import WorkerProcess, metrics_of
from workers.operations.heartbeat import Heartbeat
from workers.operations.liveness import SILENCE_SECONDS, WorkerState, combined
from workers.operations.metrics import serve
from workers.operations.reloading import is_rehearsal, own_command
from workers.operations.systemd import notifier_from
from workers.runtime.crashes import CrashLimiter
from workers.runtime.stopping import ExitCode, Shutdown

logger = logging.getLogger(__name__)

TICK_SECONDS = 0.1
REPORT_SECONDS = 0.5
RESTART_SECONDS = 1.0  # from a crash to the next start
KILL_SECONDS = 10.0  # past the shutdown timeout
KILL_AT_ONCE_SECONDS = 5.0  # past a second signal
FINAL_CODES = (ExitCode.CONFIGURATION, ExitCode.USAGE, ExitCode.UNREACHABLE)  # of a first process


def is_wanted(options: WorkerOptions) -> bool:
    """Return whether this process is to supervise others instead of working."""
    return options.processes > 1 and PROCESS_VARIABLE not in os.environ and not is_rehearsal()


class Supervisor:
    """
    Runs the worker processes that the options ask for.

    Raises ``ConfigurationError`` where the heartbeat file or the address of the metrics cannot be had, or Python does
    not tell how this process was started.
    """

    def __init__(self, options: WorkerOptions) -> None:
        self._command = own_command("--processes")
        self._burst = options.burst
        self._shutdown_timeout = 0.0 if options.disable_graceful_stop else options.shutdown_timeout
        self._stuck_timeout = options.stuck_timeout
        self._systemd = notifier_from(os.environ)
        self._heartbeat = None if options.heartbeat_file is None else Heartbeat(options.heartbeat_file)
        self._places: list[WorkerProcess | None] = [None] * options.processes
        self._codes: dict[int, int] = {}  # of the processes that are not replaced
        self._listened = False  # whether any process ever has
        self._was_ready = False  # whether Redis has ever answered all of them
        self._crashes = CrashLimiter()
        self._start_at = 0.0
        self._report_at = 0.0
        self._kill_at = math.inf
        self._code: int | None = None  # of a failure, or a second signal
        self._signals: SimpleQueue[None] = SimpleQueue()  # unlike a Queue's, its ``put`` is safe in a signal handler
        self.shutdown = Shutdown(lambda: self._signals.put(None))
        self._stops = False
        self._server = None if options.metrics_port is None else serve(options.metrics_port, self._metrics)

    def run(self) -> int:
        """Serve until a signal, a failure or the end of a burst; return the exit code."""
        logger.info("Supervising %d worker processes", len(self._places))
        if self._server is not None:
            logger.info("Metrics are at http://%s:%d/metrics", *self._server.address)
        with self.shutdown:
            while not self._done():
                self._start_missing()
                with contextlib.suppress(Empty):
                    self._signals.get(timeout=TICK_SECONDS)
                self._act_on_signals()
                for index, process in enumerate(self._places):
                    if process is not None:
                        self._look_at(index, process)
                self._replace_stuck()
                self._report()
                self._kill_late()
        if self._server is not None:
            self._server.close()
        if self._systemd is not None:
            self._systemd.stop()
        logger.info("Stopped; all worker processes have ended")
        return self._common_code() if self._code is None else self._code

    def _processes(self) -> list[WorkerProcess]:
        return [process for process in self._places if process is not None]

    def _done(self) -> bool:
        ended = self._stops or (self._burst and len(self._codes) == len(self._places))
        return ended and not self._processes()

    def _start_missing(self) -> None:
        if self._stops or time.monotonic() < self._start_at:
            return
        for index, process in enumerate(self._places):
            if process is None and index not in self._codes:
                try:
                    self._places[index] = WorkerProcess(index, self._command)
                except OSError as error:  # no memory, or no more processes
                    self._crashed(f"Worker process {index} cannot be started: {error}")
                    return
            if not self._listened:
                return

    def _look_at(self, index: int, process: WorkerProcess) -> None:
        code = process.exit_code()
        self._listened = process.read_state() or self._listened
        if code is None:
            return
        self._places[index] = None
        process.close()
        if self._stops:
            # Before it has its handlers, the signal itself ends it.
            self._codes[index] = ExitCode.CLEAN if code < 0 and not process.listened else code
        elif code in FINAL_CODES and (not self._listened or (process.listened and code == ExitCode.CONFIGURATION)):
            self._stop(code)
        elif self._burst:
            self._codes[index] = code
        elif process.replaced or (code == ExitCode.CLEAN and process.listened):
            logger.info("%s has ended; another takes its place", process)
        else:
            how = f"exit code {code}" if code >= 0 else f"signal {-code}"
            self._crashed(f"{process} has died with {how}; another takes its place")

    def _replace_stuck(self) -> None:
        if self._stuck_timeout is None or self._stops:
            return
        silent_looks = round(max(self._stuck_timeout, SILENCE_SECONDS) / TICK_SECONDS)
        for process in self._processes():
            if not process.replaced and process.is_stuck(silent_looks):
                logger.error("%s is stuck: it is stopped, and another takes its place", process)
                process.replace(self._last_moment())

    def _last_moment(self) -> float:
        """Return when to kill a process that stops from now on."""
        return time.monotonic() + self._shutdown_timeout + KILL_SECONDS

    def _crashed(self, report: str) -> None:
        self._start_at = time.monotonic() + RESTART_SECONDS
        logger.error("%s", report)
        if self._crashes.add():
            logger.critical("Worker processes die again and again; the supervisor ends")
            self._stop(ExitCode.FAILED)

    def _report(self) -> None:
        if self._stops or time.monotonic() < self._report_at:
            return
        self._report_at = time.monotonic() + REPORT_SECONDS
        states = [state for process in self._processes() for state in [process.state()] if state is not None]
        # Without a state all are about to start: they import the project, or wait for Sentinels.
        together = combined(states) if states else WorkerState(pulls=True)
        # Not ready before all are; later, a process that is replaced makes no difference.
        self._was_ready = self._was_ready or (together.popping and len(states) == len(self._places))
        together = together._replace(popping=self._was_ready and any(state.popping for state in states))
        if self._heartbeat is not None:
            self._heartbeat.report(together)
        if self._systemd is not None:
            self._systemd.report(together)

    def _metrics(self) -> bytes:
        return metrics_of(self._processes(), len(self._places))

    def _act_on_signals(self) -> None:
        first, second = self.shutdown.signal, self.shutdown.second_signal
        if first is not None and not self._stops:
            logger.info("Signal %d: stopping %d worker processes", first, len(self._processes()))
            self._stop(None)
        elif second is not None and self._code != 128 + second and self._processes():
            logger.warning("Signal %d again: stopping at once", second)
            self._code = 128 + second
            self._kill_at = time.monotonic() + KILL_AT_ONCE_SECONDS
            self._signal(signal.SIGTERM)

    def _stop(self, code: int | None) -> None:
        self.shutdown.begin()
        self._stops, self._code = True, code
        self._kill_at = self._last_moment()
        if self._heartbeat is not None:
            self._heartbeat.quiet()
        if self._systemd is not None:
            self._systemd.quiet()
        self._signal(signal.SIGTERM)

    def _signal(self, number: signal.Signals) -> None:
        for process in self._processes():
            process.signal(number)

    def _kill_late(self) -> None:
        now = time.monotonic()
        for process in self._processes():
            if now >= min(process.kill_at, self._kill_at):
                logger.critical("%s does not end: it is killed", process)
                process.signal(signal.SIGKILL)
                process.kill_at = math.inf
                if self._stops and self._code is None:
                    self._code = ExitCode.TIMED_OUT
        if now >= self._kill_at:
            self._kill_at = math.inf

    def _common_code(self) -> int:
        failures = set(self._codes.values()) - {ExitCode.CLEAN}
        if not failures:
            return ExitCode.CLEAN
        (code, *others) = failures
        return ExitCode.FAILED if others or code not in set(ExitCode) else code


def supervise(options: WorkerOptions) -> int:
    """Run a ``Supervisor`` in the main thread until it stops; return the exit code."""
    show_log(options.verbosity)
    supervisor = Supervisor(options)
    supervisor.shutdown.ends_process = True
    return supervisor.run()
