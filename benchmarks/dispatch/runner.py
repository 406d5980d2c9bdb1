"""Runs one measurement: messages, a worker, its figures."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from ..raw import RawConnection
from .recorder import VARIABLE
from .subjects import Subject
from .workloads import Workload

ROOT = Path(__file__).parent.parent.parent
PROBE = 300  # messages of the trial, and as many again for every 50 slots
LEAST, MOST = 300, 100_000
TIMEOUT_SECONDS = 60.0  # for one measurement
WARM_UP = 0.2  # of the messages that are sent while the worker works; those do not count
PRODUCERS = 4  # processes that send together: one alone would spend its time waiting for replies
POLL_SECONDS = 0.02


class Failed(Exception):
    """No figures, and why."""


class Runner:
    """Measures with ``pythons`` by environment, ``seconds`` for each figure."""

    def __init__(self, pythons: Mapping[str, str], worker_cpu: int, producer_cpu: int, seconds: float) -> None:
        self._pythons = pythons
        self._worker_cpu, self._producer_cpu = worker_cpu, producer_cpu
        self._seconds = seconds
        self._rates: dict[tuple[str, str], float] = {}

    def measure(self, port: int, workload: Workload, subject: Subject) -> dict[str, Any]:
        """Return the figures, or ``{"error": …}``."""
        try:
            rate = self._rates.get((workload.name, subject.key)) or self._first_rate(port, workload, subject)
            if workload.half_load:
                figures = self._fed(port, workload, subject, rate / 2, rate / 2)
            else:
                figures = self._filled(port, workload, subject, self._count(rate * workload.lasts))
                self._rates[workload.name, subject.key] = figures["rate"]
        except Failed as error:
            return {"error": str(error)}
        return {name: figures[name] for name in workload.figures}

    @contextlib.contextmanager
    def idle(self, port: int, subject: Subject, slots: int) -> Iterator[int]:
        """Run a worker that has done all its work, some messages; its session has no other processes."""
        workload = Workload("idle", slots)
        with self._order(port, workload, LEAST) as (answer, variables):
            self._produce(subject, variables, LEAST)
            with self._worker(port, workload, subject, variables) as worker:
                _wait_for(answer, worker)
                yield worker.pid

    def _first_rate(self, port: int, workload: Workload, subject: Subject) -> float:
        rate = self._filled(port, workload, subject, PROBE * (1 + workload.slots // 50))["rate"]
        if workload.half_load:
            # The rate while messages are sent is lower, since the senders keep Redis busy, too.
            rate = self._fed(port, workload, subject, rate, 0.0)["rate"]
        self._rates[workload.name, subject.key] = rate
        return rate

    def _count(self, rate: float) -> int:
        return int(min(MOST, max(LEAST, rate * self._seconds)))

    def _filled(self, port: int, workload: Workload, subject: Subject, count: int) -> dict[str, Any]:
        with self._order(port, workload, count) as (answer, variables):
            self._produce(subject, variables, count)
            with self._worker(port, workload, subject, variables) as worker:
                return _wait_for(answer, worker)

    def _fed(self, port: int, workload: Workload, subject: Subject, expected: float, rate: float) -> dict[str, Any]:
        # Sent at ``rate``, or with 0 as fast as it goes; ``expected`` gives their number.
        each = self._count(expected) // PRODUCERS
        steady = each * PRODUCERS
        first = 1  # a message that shows that the worker works
        with self._order(port, workload, first + steady, first + int(WARM_UP * steady)) as (answer, variables):
            self._produce(subject, variables, first)
            with self._worker(port, workload, subject, variables) as worker:
                _wait_for(answer.with_suffix(".begun"), worker)
                load = self._produce(subject, variables, each, rate / PRODUCERS, PRODUCERS)
                return {**_wait_for(answer, worker), "load": load}

    @contextlib.contextmanager
    def _order(
        self, port: int, workload: Workload, count: int, skip: int = 0
    ) -> Iterator[tuple[Path, dict[str, str]]]:
        raw = RawConnection(port)
        raw.flush()
        raw.close()
        with tempfile.TemporaryDirectory() as directory:
            answer = Path(directory, "answer")
            order = {
                "port": port,
                "count": count,
                "skip": skip,
                "sleep": workload.sleep,
                "answer": str(answer),
            }
            yield answer, {**os.environ, "PYTHONPATH": str(ROOT), VARIABLE: json.dumps(order)}

    def _produce(
        self, subject: Subject, variables: dict[str, str], count: int, rate: float = 0.0, processes: int = 1
    ) -> float:
        python = self._pythons[subject.environment]
        command = [python, "-m", f"{__package__}.producer", subject.app, str(count), str(rate)]
        with contextlib.ExitStack() as producers:
            started = []
            for _ in range(processes):
                producer = subprocess.Popen(
                    _pinned(self._producer_cpu, command),
                    env={**variables, **subject.variables(1)},
                    cwd=ROOT,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.PIPE,
                    text=True,
                )
                producers.enter_context(producer)
                producers.callback(producer.kill)
                started.append(producer)
            return sum(map(_rate_of, started))

    @contextlib.contextmanager
    def _worker(
        self, port: int, workload: Workload, subject: Subject, variables: dict[str, str]
    ) -> Iterator[subprocess.Popen[bytes]]:
        script, *arguments = subject.command(workload.slots, port)
        program = Path(self._pythons[subject.environment]).with_name(script)
        with tempfile.TemporaryFile() as log:
            worker = subprocess.Popen(
                _pinned(self._worker_cpu, [str(program), *arguments]),
                env={**variables, **subject.variables(workload.slots)},
                cwd=ROOT,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,  # so that all its processes can be found
            )
            try:
                yield worker
            except Failed as error:
                log.seek(0)
                raise Failed(f"{error}: {_last_line(log.read().decode(errors='replace'))}") from None
            finally:
                _end(worker)


def _pinned(cpu: int, command: list[str]) -> list[str]:
    # Pins itself and then becomes the command: no code of this process runs between fork and exec.
    return ["taskset", "-c", str(cpu), *command]


def _wait_for(path: Path, worker: subprocess.Popen[bytes]) -> Any:
    until = time.monotonic() + TIMEOUT_SECONDS
    while not path.exists():
        if worker.poll() is not None:
            raise Failed(f"the worker has ended with {worker.returncode}")
        if time.monotonic() > until:
            raise Failed(f"not done within {TIMEOUT_SECONDS:g} s")
        time.sleep(POLL_SECONDS)
    text = path.read_text()
    return json.loads(text) if text else None


def _rate_of(producer: subprocess.Popen[str]) -> float:
    try:
        said, complaint = producer.communicate(timeout=TIMEOUT_SECONDS)
    except subprocess.TimeoutExpired:
        raise Failed(f"the messages were not sent within {TIMEOUT_SECONDS:g} s") from None
    if producer.returncode:
        raise Failed(f"the producer: {_last_line(complaint)}")
    return float(json.loads(said)["rate"])


def _end(worker: subprocess.Popen[bytes]) -> None:
    # Their stop is not measured, and takes some of them many seconds. The session has no other processes.
    with contextlib.suppress(ProcessLookupError):
        os.killpg(worker.pid, signal.SIGKILL)
    worker.wait()


def _last_line(text: str) -> str:
    lines = text.strip().splitlines()
    return lines[-1] if lines else "it has written nothing"
