"""Has everything measured: interleaved, each figure in a fresh process."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any, Callable

from .environments import Environments
from .samples import Samples
from .subjects import SUBJECTS, Subject
from .worker import COUNT, ECHO, TIME
from .workloads import Workload

_ROOT = Path(__file__).parent.parent
# Last on the path: an installed package of our name goes before this checkout.
_START = f"import sys; sys.path.append({str(_ROOT)!r}); from benchmarks.worker import main; main()"
ALONE = 0.95  # of the CPU: less, and something else ran on it
_shown: set[str] = set()  # tracebacks: each once
_PATIENCE = 70  # seconds, a little more than a process gives itself


class Runner:
    """
    Runs workloads, the clients on ``cpu``.

    ``alone``: Redis is on the same CPU, so that a measurement with less than all of it was disturbed.
    """

    def __init__(
        self,
        environments: Environments,
        cpu: int,
        seconds: float,
        idle_seconds: float,
        say: Callable[[str], None],
        *,
        alone: bool,
    ) -> None:
        self._environments, self._cpu, self._say, self._alone = environments, cpu, say, alone
        self._seconds, self._idle_seconds = seconds, idle_seconds
        self.results = Samples()
        self.measured = self.disturbed = 0

    def run(self, port: int, workloads: list[Workload], turn: int) -> None:
        """Time each workload once for every subject; ``turn`` selects the first one."""
        for workload in workloads:
            self._say(f"run {turn + 1}: {workload.name}")
            subjects = taking_part(workload)
            first = turn % len(subjects)
            ordered = subjects[first:] + subjects[:first]
            if workload.call == "idle":
                # All at once, since none of them does anything.
                started = [(subject, self._start(port, workload, subject, TIME)) for subject in ordered]
                for subject, process in started:
                    self.results.add(workload, subject, _answer(process))
                continue
            for subject in ordered:
                self.results.add(workload, subject, self._undisturbed(port, workload, subject))

    def count(self, port: int, workloads: list[Workload]) -> None:
        """Count round trips and bytes, which do not vary between runs."""
        for workload in workloads:
            if workload.counted:
                self._say(f"round trips and bytes: {workload.name}")
                for subject in taking_part(workload):
                    self.results.add(workload, subject, self._measure(port, workload, subject, COUNT))

    def _undisturbed(self, port: int, workload: Workload, subject: Subject) -> dict[str, Any]:
        """Measure once more if something else had the CPU; return the better answer."""
        answer = self._measure(port, workload, subject, TIME)
        if self._alone and answer.get("share", 1) < ALONE:
            again = self._measure(port, workload, subject, TIME)
            answer = max(answer, again, key=lambda one: one.get("share", 0))
        if self._alone and "share" in answer:
            self.measured += 1
            self.disturbed += answer["share"] < ALONE
        return answer

    def _measure(self, port: int, workload: Workload, subject: Subject, role: str) -> dict[str, Any]:
        echo = self._start(port, workload, subject, ECHO) if workload.call == "ping_pong" else None
        try:
            return _answer(self._start(port, workload, subject, role))
        finally:
            if echo:
                echo.kill()
                echo.communicate()

    def _start(self, port: int, workload: Workload, subject: Subject, role: str) -> subprocess.Popen[str]:
        order = {
            "workload": workload.to_json(),
            "subject": subject.key,
            "role": role,
            "port": port,
            "cpu": self._cpu,
            "seconds": self._idle_seconds if workload.call == "idle" else self._seconds,
        }
        return subprocess.Popen(
            [self._environments.python[subject.environment], "-I", "-c", _START, json.dumps(order)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )


def taking_part(workload: Workload) -> list[Subject]:
    """Return the subjects of a workload; the floors belong to one only."""
    return [subject for subject in SUBJECTS if subject.kind != "floor" or workload.floors]


def _answer(process: subprocess.Popen[str]) -> dict[str, Any]:
    try:
        out, err = process.communicate(timeout=_PATIENCE)
    except subprocess.TimeoutExpired:
        process.kill()
        process.communicate()
        return {"error": f"no answer after {_PATIENCE} s"}
    except BaseException:  # Ctrl-C above all
        process.kill()
        process.communicate()
        raise
    if not out:
        last = err.strip().splitlines()[-1:] or [f"exit code {process.returncode}"]
        return {"error": last[0]}
    answer: dict[str, Any] = json.loads(out.splitlines()[-1])
    if "error" in answer and err not in _shown:
        _shown.add(err)
        print(err, file=sys.stderr)
    return answer
