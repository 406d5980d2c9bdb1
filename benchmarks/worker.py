"""
The fresh process: one measurement of one subject.

The order comes as JSON in its argument, the answer goes as JSON to stdout. It runs in the subject's environment, so
it imports only the standard library and this package.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import traceback
from typing import Any

from .meter import Meter
from .proxy import CountingProxy
from .raw import RawConnection
from .subjects import BY_KEY
from .task import FOR_THREADS, Task
from .workloads import Workload

LIFETIME_SECONDS = 60  # after which a forgotten process ends itself
KEYS = ["a key for the benchmarks"]
WARM_UP = (20, 0.1)  # calls at most, seconds at most
COUNTED = (200, 3.0)  # likewise, where round trips and bytes are counted
TIME, COUNT, ECHO = "time", "count", "echo"  # roles of a process


class Measurement:
    """One order, carried out."""

    def __init__(self, order: dict[str, Any]) -> None:
        self._workload = Workload(**order["workload"])
        self._seconds: float = order["seconds"]
        self._role: str = order["role"]
        self._raw = RawConnection(order["port"])
        self._proxy = CountingProxy(order["port"]) if self._role == COUNT else None
        port = self._proxy.port if self._proxy else order["port"]
        self._subject = BY_KEY[order["subject"]].load()(port, KEYS if self._workload.encrypted else None)
        self._loops = _loops(self._subject.asynchronous)

    def run(self) -> dict[str, Any]:
        """Return the figures."""
        workload, loops = self._workload, self._loops
        task = Task(workload, self._subject, self._raw)
        if self._role == ECHO:
            loops.echo(self._subject)
        self._raw.flush()
        if workload.call == "ping_pong":
            return loops.ping(self._subject, task.message, self._seconds).to_json()
        if workload.call == "idle":
            return {"idle": 1e3 * loops.idle(task.call, self._seconds)}
        task.prepare()
        task.check(loops.once(task.call))
        task.prepare()
        loops.burst(task.call, *WARM_UP)
        return self._counted(task) if self._proxy else self._timed(task)

    def _timed(self, task: Task) -> dict[str, Any]:
        meter, threads = Meter(self._raw), self._workload.threads
        if threads > 1:
            task.prepare()
            self._loops.together(task.call, threads, FOR_THREADS, self._seconds, meter)
        else:
            self._loops.chunks(task.call, task.prepare, self._workload.chunk, self._seconds, meter)
        return meter.to_json()

    def _counted(self, task: Task) -> dict[str, Any]:
        assert self._proxy
        task.prepare()
        before = self._proxy.snapshot()
        calls = self._loops.burst(task.call, min(COUNTED[0], self._workload.chunk), COUNTED[1])
        after = self._proxy.snapshot()
        return {name: (vars(after)[name] - vars(before)[name]) / calls for name in vars(after)}


def _loops(asynchronous: bool) -> Any:
    if asynchronous:
        from .async_loops import AsyncLoops

        return AsyncLoops()
    from .loops import Loops  # a synchronous subject's process stays free of asyncio

    return Loops()


def main() -> None:
    """Print the figures or ``{"error": …}``, and leave without waiting for threads."""
    signal.alarm(LIFETIME_SECONDS)
    order = json.loads(sys.argv[1])
    os.sched_setaffinity(0, {order["cpu"]})
    try:
        answer = Measurement(order).run()
    except Exception as error:  # noqa: BLE001  # a peer that fails is a result
        traceback.print_exc()
        answer = {"error": f"{type(error).__name__}: {error}"}
    print(json.dumps(answer), flush=True)
    os._exit(0)
