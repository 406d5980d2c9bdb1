"""The worker processes of a supervisor: each one's process, how it does, and its metrics."""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import select
import socket
import subprocess
import time
from collections.abc import Sequence

from workers.operations.exposition import family, labels, merged, sample
from workers.operations.liveness import SILENCE_SECONDS, State
from workers.operations.supervised import REPLY, REQUEST, VARIABLE, Place

METRICS_SECONDS = 3.0  # that processes may take which have much else to do; Redis holds them up for less
SYSTEMD = ("NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID")  # it speaks with the supervisor

_numbers = itertools.count()


class Process:
    """
    A worker process, started by ``command``. ``listened`` is whether it has ever told how it does.

    Its methods but ``ask`` and ``answer`` are for one thread, and these two for one.
    """

    def __init__(self, index: int, command: Sequence[str]) -> None:
        self.index = index
        self.listened = False
        self._state: State | None = None
        self._told_at = 0.0
        self.states, its_states = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.requests, its_requests = socket.socketpair()
        for own in (self.states, self.requests):
            own.setblocking(False)
        place = Place(index, its_states.fileno(), its_requests.fileno())
        environment = {name: value for name, value in os.environ.items() if name not in SYSTEMD}
        with its_states, its_requests:
            self._process = subprocess.Popen(command, env={**environment, VARIABLE: str(place)}, pass_fds=place[1:])
        self._received = bytearray()

    def __str__(self) -> str:
        return f"Worker process {self.index} (pid {self._process.pid})"

    def read_state(self) -> bool:
        """Reads what it has told; returns whether it has ever told anything."""
        with contextlib.suppress(BlockingIOError):
            while told := self.states.recv(1 << 12):
                state = json.loads(told)
                self._state, self._told_at = None if state is None else State(*state), time.monotonic()
                self.listened = True
        return self.listened

    def state(self) -> State | None:
        """Returns how it does, or None before it listens and when it stops; one that tells nothing does not pull."""
        if self._state is not None and time.monotonic() - self._told_at >= SILENCE_SECONDS:
            return self._state._replace(pulls=False)
        return self._state

    def ended(self) -> int | None:
        """Returns its exit code, or a signal's number below zero; None while it runs."""
        return self._process.poll()

    def signal(self, number: int) -> None:
        """Sends it a signal, if it has not ended."""
        self._process.send_signal(number)

    def close(self) -> None:
        """Closes the sockets of one that has ended."""
        self.states.close()
        self.requests.close()

    def ask(self, number: int, of_layer: bool) -> None:
        """Asks for its metrics. Raises ``OSError``."""
        self.requests.send(REQUEST.pack(number, of_layer))

    def answer(self, number: int) -> str | None:
        """Returns its answer to that request when it has come whole. Raises ``OSError`` where none will."""
        data = self.requests.recv(1 << 20)
        if not data:
            raise ConnectionResetError
        self._received += data
        while len(self._received) >= REPLY.size:
            answered, size = REPLY.unpack_from(self._received)
            end = REPLY.size + size
            if len(self._received) < end:
                return None
            text = bytes(self._received[REPLY.size : end])
            del self._received[:end]
            if answered == number:
                return text.decode()
        return None


def metrics_of(processes: Sequence[Process], places: int) -> bytes:
    """
    Returns the metrics of all the processes, and whether each of ``places`` has told its own.

    What is the same for all is told by the first. One that does not answer within ``METRICS_SECONDS`` is left out.
    """
    number = next(_numbers) & 0xFFFFFFFF
    asked: dict[int, Process] = {}
    for process in processes:
        if process.listened:
            with contextlib.suppress(OSError):
                process.ask(number, of_layer=not asked)
                asked[process.requests.fileno()] = process
    answers: dict[int, str] = {}
    deadline = time.monotonic() + METRICS_SECONDS
    while asked and time.monotonic() < deadline:
        poller = select.poll()
        for descriptor in asked:
            poller.register(descriptor, select.POLLIN)
        for descriptor, _ in poller.poll(max(0, deadline - time.monotonic()) * 1000):
            process = asked[descriptor]
            try:
                answer = process.answer(number)
            except BlockingIOError:
                continue
            except OSError:
                del asked[descriptor]
                continue
            if answer is not None:
                answers[process.index] = answer
                del asked[descriptor]
    name = "runworker_process_up"
    up = [sample(name, labels({"process": str(index)}), int(index in answers)) for index in range(places)]
    text = "Whether the worker process has told its metrics"
    return merged([*(answers[index] for index in sorted(answers)), family(name, "gauge", text, up)]).encode()
