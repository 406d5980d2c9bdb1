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
    python -m benchmarks.channels1 --save             # writes benchmarks/results/channels1.json

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
import sys

from ..command import check_save, interleaved, matching, parser_for, run, say
from ..environments import Environments
from ..record import Conditions, Line, Measured, described, heading, save
from ..samples import Samples
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
    check_save(arguments, "subjects")
    subjects = matching(SUBJECTS, arguments.subjects, lambda one: one.key)
    conditions = Conditions("benchmarks.channels1", sys.argv[1:] if argv is None else argv)
    how, versions, results = _measure(arguments, subjects)
    ended = conditions.end(how, versions)
    about = described(ended)
    if arguments.json:
        arguments.json.write_text(json.dumps({"about": about, "results": results.to_json()}, indent=1))
    print("\n".join(about), "", report(subjects, results), sep="\n")
    if arguments.save:
        save(arguments.save, "channels1", ended, {"answers": measured_table(results)})
    return 0


def report(subjects: list[Subject], results: Samples) -> str:
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


def measured_table(results: Samples) -> Measured:
    """Return the table of the results file."""
    lines = [
        Line.of(row.name, unit, [results.median(row, subject.key, figure) for subject in SUBJECTS])
        for row in WORKLOADS
        for figure, unit in _FIGURES.items()
    ]
    title = "A view and a websocket through daphne 1.4.2"
    return Measured(title, [heading(subject.title) for subject in SUBJECTS], lines)


def _measure(arguments: argparse.Namespace, subjects: list[Subject]) -> tuple[str, dict[str, str], Samples]:
    """Return how it was measured, the versions, and the samples."""
    rounds, seconds = arguments.rounds or (1 if arguments.quick else 3), 0.5 if arguments.quick else 3.0
    environments = Environments(arguments.environments)
    environments.make({subject.environment for subject in subjects})
    results = Samples()
    cpus = sorted(os.sched_getaffinity(0))
    for turn in range(rounds):
        for at in range(len(subjects)):
            subject = subjects[(at + turn) % len(subjects)]
            python = environments.python[subject.environment]
            with redis_on(cpus[-1]) as server, running(python, server.url, subject) as port:
                for workload in WORKLOADS:
                    answer = workload.measure(port, seconds)
                    results.add(workload, subject, answer)
                    shown = ", ".join(f"{figure} {value:,.2f}" for figure, value in answer.items())
                    say(f"{turn + 1}/{rounds} {workload.name}: {subject.key}: {shown}")
    where = f"all processes on CPU {cpus}, Redis on {cpus[-1]}"
    how = f"{interleaved(rounds, 'round')}, {seconds:g} s a measurement; {where}"
    return how, environments.versions(), results


def _parser() -> argparse.ArgumentParser:
    parser = parser_for("benchmarks.channels1", "The layer under Channels 1, and asgi_redis 1.4.3.", "round", 3)
    parser.add_argument("--subjects", metavar="REGEX", default="", help="subjects whose key matches")
    return parser


if __name__ == "__main__":
    run(main)
