"""
``python -m benchmarks.channels1``: a view and a websocket through daphne 1.4.2.

To be called in the root of the checkout. A Django view and a websocket echo go through daphne and one worker process
of Channels 1.1.8, with asgi_redis 1.4.3 and with this layer. It makes a virtual environment for each of the two (from
PyPI, kept in ``~/.cache/asgi_redis-benchmarks``; Channels, daphne and Django as in
``tests/channels1/requirements.txt``) and starts a Redis on a free port. It needs Linux, Python 3.11 or older and a
``redis-server`` on the PATH. ::

    python -m benchmarks.channels1                    # three rounds, about four minutes
    python -m benchmarks.channels1 --quick            # one short round: does it work?
    python -m benchmarks.channels1 --subjects ours    # the subjects whose key matches

Each subject in each round has a new Redis, a new daphne and a new worker. The subjects take turns, and each round
starts with another one; the table has the medians. The clients are threads of this process with a lasting connection
each, and send the next request when they have the answer to the last. Nothing is pinned: on a machine
with fewer than four CPUs the four processes share them.

"Twisted" is daphne's native mode, "busy loop" its other one, where it looks for messages 20 times a second as long as
there are none. The worker is Channels' own unless it says "our worker", with one thread.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import time

from ..command import cpu_model, matching, parser_for, run, say
from ..environments import Environments
from ..results import Results
from ..server import redis_on
from ..table import number
from ..text import grid
from .stack import running
from .subjects import SUBJECTS, Subject
from .workloads import WORKLOADS

_FIGURES = {"p50": "p50, ms", "p99": "p99, ms", "rate": "answers/s"}


def main(argv: list[str] | None = None) -> int:
    """Run the command; return the exit code."""
    arguments = _parser().parse_args(argv)
    subjects = matching(SUBJECTS, arguments.subjects, lambda one: one.key)
    about, results = _measure(arguments, subjects)
    if arguments.json:
        arguments.json.write_text(json.dumps({"about": about, "results": results.to_json()}, indent=1))
    print("\n".join(about), "", report(subjects, results), sep="\n")
    return 0


def report(subjects: list[Subject], results: Results) -> str:
    """Everything that is printed at the end."""
    heads = [subject.title.partition("\n") for subject in subjects]
    lines = [["", "", *(top for top, _, _ in heads), ""], ["", "", *(low for _, _, low in heads), "aim"]]
    for workload in WORKLOADS:
        for figure, unit in _FIGURES.items():
            values = [number(results.median(workload, one.key, figure)) for one in subjects]
            lines.append([workload.name, unit, *values, workload.aim])
    blocks = [grid(lines, left=(0, 1, len(lines[0]) - 1))]
    blocks += [f"Failed: {key}, {workload}: {error}" for (workload, key), error in results.errors.items()]
    return "\n\n".join(blocks)


def _measure(arguments: argparse.Namespace, subjects: list[Subject]) -> tuple[list[str], Results]:
    rounds, seconds = arguments.rounds or (1 if arguments.quick else 3), 0.5 if arguments.quick else 3.0
    environments = Environments(arguments.environments)
    environments.make({subject.environment for subject in subjects})
    results, load, version = Results(), os.getloadavg()[0], ""
    cpus = sorted(os.sched_getaffinity(0))
    for turn in range(rounds):
        for at in range(len(subjects)):
            subject = subjects[(at + turn) % len(subjects)]
            with redis_on(cpus[-1]) as server:
                version = server.version
                with running(environments.python[subject.environment], server.url, subject) as port:
                    for workload in WORKLOADS:
                        answer = workload.measure(port, seconds)
                        results.add(workload, subject, answer)
                        shown = ", ".join(f"{figure} {value:,.2f}" for figure, value in answer.items())
                        say(f"{turn + 1}/{rounds} {workload.name}: {subject.key}: {shown}")
    how = f"Medians of {rounds} interleaved round{'s' * (rounds != 1)}, {seconds:g} s a measurement"
    machine = f"{cpu_model()}; {platform.system()} {platform.release()}; Redis {version}"
    about = [
        f"{how}; {len(cpus)} CPUs; load average {load:.2f} before; {time.strftime('%Y-%m-%d')}.",
        f"{machine}; Python {environments.python_version}.",
    ]
    return about + [f"{name}: {environments.versions(name)}" for name in environments.python], results


def _parser() -> argparse.ArgumentParser:
    parser = parser_for("benchmarks.channels1", "The layer under Channels 1, and asgi_redis 1.4.3.", "round", 3)
    parser.add_argument("--subjects", metavar="REGEX", default="", help="subjects whose key matches")
    return parser


if __name__ == "__main__":
    run(main)
