"""
``python -m benchmarks.interface``: the interface and a worker, and what else serves websockets and Django's views.

To be called in the root of the checkout. It compares uvicorn with ``asgi_redis.interface`` and one worker process
with the consumers of Channels 4 (on channels_redis where they need a layer), with daphne 1.4.2, Channels 1.1.8 and
asgi_redis 1.4.3, and with Django's own applications for ASGI and WSGI. It makes a virtual environment for each (from
PyPI, in the versions of ``environments.py``, kept in ``~/.cache/asgi_redis-benchmarks``). It needs Linux,
``taskset``, Python 3.11 or older and a ``redis-server`` on the PATH. ::

    python -m benchmarks.interface                     # all of it, about fifteen minutes
    python -m benchmarks.interface --quick             # one short round: does it work?
    python -m benchmarks.interface --only "Echo|HTTP"  # the workloads whose table or name matches
    python -m benchmarks.interface --subjects ours     # the subjects whose key matches
    python -m benchmarks.interface --cpus one          # servers, workers and Redis on one CPU, the client on another
    python -m benchmarks.interface --json all.json     # keeps every sample
    python -m benchmarks.interface --save              # writes benchmarks/results/interface.json
    python -m benchmarks.interface --load all.json     # shows what was kept, of one file or several

How it measures
===============

All subjects run at the same time, each with a Redis for itself, and take turns; each round starts with another one.
So only one of them has something to do at a time, and what else the machine does meets all alike. The tables have
the medians. A figure of idle websockets, or of a restart, comes from a subject that has just been started.

The client is one process with an epoll and prebuilt frames (``client.py``). With ``--cpus both``, the default,
servers, workers, Redis and client share all CPUs; with ``one``, all but the client share one.

What the figures mean
=====================

Echo
    Each websocket sends a text of 64 bytes, and the next one when it is back. Channels 4's consumers have no layer.
Group
    Every websocket is in one group. A script sends a message, and the next one when all have it: ours with
    ``Group.send``, Channels 4's with ``group_send`` in one event loop for all messages.
HTTP
    A view that answers "hello", over keep-alive connections; no middleware.
Idle
    The resident memory of server, worker and Redis with the websockets open, each in a group, less that before, for
    each of them; and their CPU time while nothing but uvicorn's pings is sent.
Restart
    Echoes of 50 websockets over six seconds; meanwhile the worker is replaced. Channels 4 would close them all.
CPU
    User and system time of server, worker, Redis and sender for each frame, message or answer.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import resource
import sys
from pathlib import Path

from ..command import check_save, interleaved, matching, parser_for, run, say
from ..record import Conditions, described, save
from ..samples import Samples
from .environments import InterfaceEnvironments
from .report import costs, measured_tables, report
from .runner import Runner
from .stack import Stack
from .subjects import SUBJECTS, Subject
from .workloads import WORKLOADS, Workload


def main(argv: list[str] | None = None) -> int:
    """Run the command; return the exit code."""
    arguments = _parser().parse_args(argv)
    check_save(arguments, "subjects", "load")
    workloads = matching(WORKLOADS, arguments.only, lambda one: f"{one.table}, {one.name}")
    subjects = matching(SUBJECTS, arguments.subjects, lambda one: one.key)
    if arguments.load:
        about, results = _load(arguments.load)
    else:
        conditions = Conditions("benchmarks.interface", sys.argv[1:] if argv is None else argv)
        how, versions, results = _measure(arguments, workloads, subjects)
        ended = conditions.end(how, versions)
        about = described(ended)
        if arguments.save:
            save(arguments.save, "interface", ended, measured_tables(workloads, results))
    if arguments.json:
        arguments.json.write_text(json.dumps({"about": about, "results": results.to_json()}, indent=1))
    print("\n".join(about), "", report(results), "", costs(results), sep="\n")
    return 0


def _load(files: list[Path]) -> tuple[list[str], Samples]:
    kept = [json.loads(file.read_text()) for file in files]
    lines = dict.fromkeys(line for one in kept for line in one["about"])
    return [*lines], Samples.from_json([result for one in kept for result in one["results"]])


def _measure(
    arguments: argparse.Namespace, workloads: list[Workload], subjects: list[Subject]
) -> tuple[str, dict[str, str], Samples]:
    """Return how it was measured, the versions, and the samples."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    cpus = sorted(os.sched_getaffinity(0))
    if arguments.cpus == "one" and len(cpus) < 2:
        raise SystemExit("--cpus one: the client needs another CPU")
    servers, client = (cpus, cpus) if arguments.cpus == "both" else (cpus[:1], cpus[1:])
    rounds, seconds = arguments.rounds or (1 if arguments.quick else 5), 0.3 if arguments.quick else 1.0
    environments = InterfaceEnvironments(arguments.environments)
    environments.make({one.environment for one in subjects})
    runner = Runner(environments.python, servers, client, seconds)
    results = Samples()
    for turn in range(rounds):
        for table in dict.fromkeys(one.table for one in workloads):
            _round(runner, turn, [one for one in workloads if one.table == table], subjects, results)
    where = f"servers, workers and Redis on CPU {servers}, the client on {client}"
    how = f"{interleaved(rounds, 'round')}, {seconds:g} s a measurement; {where}"
    return how, environments.versions(), results


def _round(runner: Runner, turn: int, workloads: list[Workload], subjects: list[Subject], results: Samples) -> None:
    with contextlib.ExitStack() as resources:
        stacks: dict[Subject, Stack] = {}
        for workload in workloads:
            taking_part = [one for one in workload.subjects if one in subjects]
            for at in range(len(taking_part)):
                subject = taking_part[(at + turn) % len(taking_part)]
                if workload.apart:
                    with runner.running(subject) as stack:
                        answer = runner.measure(workload, stack)
                else:
                    if subject not in stacks:
                        stacks[subject] = resources.enter_context(runner.running(subject))
                    answer = runner.measure(workload, stacks[subject])
                results.add(workload, subject, answer)
                shown = ", ".join(f"{name} {value:,.2f}" for name, value in answer.items() if name != "error")
                say(f"{turn + 1} {workload.table}, {workload.name}: {subject.key}: {answer.get('error') or shown}")


def _parser() -> argparse.ArgumentParser:
    description = "The interface and its workers compared with Channels 4, the classic stack and Django alone."
    parser = parser_for("benchmarks.interface", description, "round", 5)
    parser.add_argument("--only", metavar="REGEX", default="", help="workloads whose table or name matches")
    parser.add_argument("--subjects", metavar="REGEX", default="", help="subjects whose key matches")
    parser.add_argument("--cpus", choices=("one", "both"), default="both", help="for all but the client, or for all")
    parser.add_argument(
        "--load", type=Path, metavar="FILE", nargs="+", help="measure nothing, show what --json wrote"
    )
    return parser


if __name__ == "__main__":
    run(main)
