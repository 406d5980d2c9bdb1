"""Runs the workloads: all subjects of a table at once, of which one has something to do at a time."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
from collections.abc import Iterator, Mapping
from typing import Any

from ..server import redis_on
from .stack import Stack
from .subjects import ROOT, Subject
from .workloads import Workload

LOAD_SECONDS = 180.0  # for one measurement
BEFORE_RESTART = 0.3  # of the time


class Runner:
    """Measures with ``pythons`` by environment: servers and workers on ``cpus``, the client on ``client_cpus``."""

    def __init__(self, pythons: Mapping[str, str], cpus: list[int], client_cpus: list[int], seconds: float) -> None:
        self._pythons = pythons
        self._cpus = cpus
        self._client_cpus = ",".join(map(str, client_cpus))
        self._seconds = seconds

    @contextlib.contextmanager
    def running(self, subject: Subject) -> Iterator[Stack]:
        """Run a subject on a Redis that it has for itself."""
        with (
            redis_on(*self._cpus) as redis,
            Stack(self._pythons[subject.environment], redis, subject, self._cpus) as stack,
        ):
            yield stack

    def measure(self, workload: Workload, stack: Stack) -> dict[str, Any]:
        """Return the figures, or ``{"error": …}``."""
        seconds = workload.seconds or self._seconds
        order = {"load": workload.load, "port": stack.port, "number": workload.number, "seconds": seconds}
        with contextlib.ExitStack() as resources:
            if workload.load == "group":
                order["send"] = resources.enter_context(stack.sender())
            client = self._client({**order, "roles": stack.roles})
            resources.callback(client.kill)
            if workload.restart:
                with contextlib.suppress(subprocess.TimeoutExpired):
                    client.wait(BEFORE_RESTART * seconds)
                _restart(stack, workload.restart)
            said, complaint = client.communicate(timeout=LOAD_SECONDS)
        return json.loads(said) if said else {"error": complaint.strip().rpartition("\n")[2]}

    def _client(self, order: dict[str, Any]) -> subprocess.Popen[str]:
        command = [sys.executable, "-m", f"{__package__}.client", json.dumps(order)]
        return subprocess.Popen(
            ["taskset", "-c", self._client_cpus, *command],
            cwd=ROOT,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            pass_fds=[order["send"]] if "send" in order else [],
        )


def _restart(stack: Stack, order: str) -> None:
    if order == "start":
        stack.start_worker()
        stack.wait_for_worker()
    stack.stop_worker()
    if order == "stop":
        stack.start_worker()
