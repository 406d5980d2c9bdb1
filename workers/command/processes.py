"""
A worker process of several, and its link to the supervisor: both ends.

Two pairs of sockets connect them. On ``states`` the process reports its state twice a second. On ``requests`` the
supervisor asks for metrics, and passes along the socket that it wants them on. When that pair is closed, the
supervisor has ended, and the process stops, too.
"""

from __future__ import annotations

import contextlib
import json
import logging
import math
import os
import selectors
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Sequence
from typing import NamedTuple

from workers.command.patching import PROCESS_VARIABLE
from workers.operations.exposition import family, labels, merged
from workers.operations.liveness import SILENCE_SECONDS, WorkerState, state_of
from workers.operations.metrics import WorkerMetrics
from workers.runtime.hooks import HookedWorker, LifecycleHook

logger = logging.getLogger(__name__)

METRICS_SECONDS = 3.0  # for busy processes; Redis delays an answer by less
SYSTEMD_VARIABLES = ("NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID")  # the supervisor alone notifies systemd

_OWN_METRICS, _ALL_METRICS = b"o", b"a"  # requests; all: with those of the layer, which every process has
_END = "# EOF\n"  # a process that dies leaves its answer incomplete


class SupervisorSockets(NamedTuple):
    """The number of a worker process, and its descriptors. ``str`` is their variable."""

    number: int
    states: int
    requests: int

    def __str__(self) -> str:
        return ":".join(map(str, self))


def take_sockets() -> SupervisorSockets | None:
    """Return this process's sockets to its supervisor, if it has one; only once."""
    value = os.environ.pop(PROCESS_VARIABLE, None)
    return SupervisorSockets(*map(int, value.split(":"))) if value else None


class SupervisorLink(LifecycleHook):
    """Reports to the supervisor, and answers its requests for ``metrics``."""

    def __init__(self, sockets: SupervisorSockets, metrics: bool) -> None:
        self._index = sockets.number
        self._serves_metrics = metrics
        self._states = socket.socket(fileno=sockets.states)
        self._states.setblocking(False)  # the main thread has to handle signals
        self._requests = socket.socket(fileno=sockets.requests)

    def start(self, worker: HookedWorker) -> None:
        metrics = WorkerMetrics(worker, str(self._index)) if self._serves_metrics else None
        threading.Thread(target=self._answer, args=(worker, metrics), name="supervisor", daemon=True).start()
        self.check(worker)

    def check(self, worker: HookedWorker) -> None:
        """Report the worker's state."""
        self._send(state_of(worker))

    def quiet(self) -> None:
        """Report that the worker stops, and reports no more."""
        self._send(None)

    def _send(self, state: WorkerState | None) -> None:
        with contextlib.suppress(OSError):  # the next report is as good
            self._states.send(json.dumps(state).encode())

    def _answer(self, worker: HookedWorker, metrics: WorkerMetrics | None) -> None:
        with self._requests, contextlib.suppress(OSError):
            while True:
                request, (*descriptors,), _, _ = socket.recv_fds(self._requests, 1, 1)
                if not request:
                    break
                assert metrics is not None, "a supervisor that serves no metrics asks for none"
                with socket.socket(fileno=descriptors[0]) as answer, contextlib.suppress(OSError):
                    answer.sendall((metrics.text(request == _ALL_METRICS) + _END).encode())
        logger.warning("The supervisor of the processes has gone: stopping")
        worker.quiet()


class WorkerProcess:
    """
    A worker process, started by ``command``.

    Attributes:
        listened: Whether it has ever reported.
        replaced: Whether it was told to stop, for another to take its place.
        kill_at: When it is to be killed (``time.monotonic``).
    """

    def __init__(self, index: int, command: Sequence[str]) -> None:
        self.index = index
        self.listened = self.replaced = False
        self.kill_at = math.inf
        self._state: WorkerState | None = None
        self._silent_looks = 0
        self._reported_at = 0.0
        self._states, its_states = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._requests, its_requests = socket.socketpair()
        for own in (self._states, self._requests):
            own.setblocking(False)
        sockets = SupervisorSockets(index, its_states.fileno(), its_requests.fileno())
        environment = {name: value for name, value in os.environ.items() if name not in SYSTEMD_VARIABLES}
        environment[PROCESS_VARIABLE] = str(sockets)
        with its_states, its_requests:
            self._process = subprocess.Popen(command, env=environment, pass_fds=sockets[1:])

    def __str__(self) -> str:
        return f"Worker process {self.index} (pid {self._process.pid})"

    def read_state(self) -> bool:
        """Read its reports; return whether it has ever sent one."""
        self._silent_looks += 1
        with contextlib.suppress(BlockingIOError):
            while report := self._states.recv(1 << 12):
                state = json.loads(report)
                self._state, self._reported_at = None if state is None else WorkerState(*state), time.monotonic()
                self.listened, self._silent_looks = True, 0
        return self.listened

    def state(self) -> WorkerState | None:
        """Return its state, or None before it listens and when it stops."""
        if self.replaced:
            return None
        # Without reports it hangs.
        if self._state is not None and time.monotonic() - self._reported_at >= SILENCE_SECONDS:
            return self._state._replace(pulls=False)
        return self._state

    def is_stuck(self, silent_looks: int) -> bool:
        """
        Return whether it reports that it is stuck, or has long reported nothing.

        ``silent_looks`` is a number of calls of ``read_state``: seconds would count a pause of both processes, too.
        """
        return self._state is not None and (self._state.stuck or self._silent_looks >= silent_looks)

    def replace(self, kill_at: float) -> None:
        """Tell it to stop, for another to take its place."""
        self.replaced, self.kill_at = True, kill_at
        self.signal(signal.SIGTERM)

    def exit_code(self) -> int | None:
        """Return its exit code, or a signal's number below zero; None while it runs."""
        return self._process.poll()

    def signal(self, number: int) -> None:
        """Send it a signal, if it has not ended."""
        self._process.send_signal(number)

    def close(self) -> None:
        """Close its sockets, after its end."""
        self._states.close()
        self._requests.close()

    def ask_for_metrics(self, request: bytes) -> socket.socket:
        """Ask for its metrics; return the socket on which they come. From any thread."""
        answer, its_answer = socket.socketpair()
        with its_answer:
            try:
                socket.send_fds(self._requests, [request], [its_answer.fileno()])
            except OSError:
                answer.close()
                raise
        return answer


def metrics_of(processes: Sequence[WorkerProcess], number: int) -> bytes:
    """
    Return the metrics of ``number`` processes, of which some may not run.

    A further metric tells for each whether it has answered. The first process also answers for the channel layer.
    Answers that take longer than ``METRICS_SECONDS`` are left out.
    """
    deadline = time.monotonic() + METRICS_SECONDS
    received: dict[int, bytearray] = {}
    with selectors.PollSelector() as selector, contextlib.ExitStack() as answers:
        for process in processes:
            if process.listened:
                with contextlib.suppress(OSError):
                    answer = process.ask_for_metrics(_OWN_METRICS if received else _ALL_METRICS)
                    selector.register(answers.enter_context(answer), selectors.EVENT_READ, process.index)
                    received[process.index] = bytearray()
        while selector.get_map() and time.monotonic() < deadline:
            for key, _ in selector.select(deadline - time.monotonic()):
                assert isinstance(key.fileobj, socket.socket)
                data = key.fileobj.recv(1 << 20)
                received[key.data] += data
                if not data:
                    selector.unregister(key.fileobj)
    texts = {index: text.decode() for index, text in sorted(received.items()) if text.endswith(_END.encode())}
    up = [(labels({"process": str(index)}), int(index in texts)) for index in range(number)]
    up_text = family("runworker_process_up", "gauge", "Whether the worker process has told its metrics", up)
    return merged([*(text[: -len(_END)] for text in texts.values()), up_text]).encode()
