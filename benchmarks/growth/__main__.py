"""
``python -m benchmarks.growth``: how the cost of a call grows with the work.

To be called in the root of the checkout, with the extra ``tests``, on Linux, with ``redis-server`` on the PATH. ::

    python -m benchmarks.growth                        # all of it, some minutes
    python -m benchmarks.growth --quick                # small steps, short rounds: does it work?
    python -m benchmarks.growth --only "groups.*send"  # what matches, "part: figure"
    python -m benchmarks.growth --json all.json        # keeps every round
    python -m benchmarks.growth --save                 # writes benchmarks/results/growth.json

Each line is one step of one figure. It is measured in a fresh process, with fresh Redis servers on the same CPU. They
have the highest priority if that is allowed: other programs would make their commands longer. The name of a figure
ends with its unit of work: a message, a member, a byte.

each
    The CPU time of both sides, client and Redis, for a unit of work: that of a round of calls, by the work in it. The
    best of some rounds, three at least, unless they take long.
growth
    That time, divided by that of the step before. 1 is a cost that grows as the work does; less is a cost that does
    not, spread over more work. More than 1.5 is marked with ``!``.
slowest command
    The longest single command in Redis's SLOWLOG, of the best round. Other clients wait for so long. More than 10 ms
    is marked.
Redis, client
    The peak of memory, less the memory that an empty server, and a process that has made its layer, have. The
    messages, channels and members that the step is about are in it. It is marked where it grows by more than half
    faster than the step does.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from ..command import add_save, check_save, matching, run, say
from ..record import Conditions, described, save
from .bench import bench_on
from .parts import PARTS, Part
from .report import Sample, findings, measured_table, table

_SECONDS, _QUICK_SECONDS = 0.4, 0.02  # of the rounds of a figure
_HANG_SECONDS = 60.0


def main(arguments: list[str] | None = None) -> int:
    """Print the tables."""
    options = _parser().parse_args(arguments)
    if options.one:
        print(json.dumps(_measure(*options.one, options.seconds)))
        return 0
    check_save(options)
    conditions = Conditions("benchmarks.growth", sys.argv[1:] if arguments is None else arguments)
    names = [(part, figure) for part in PARTS for figure in part.figures]
    chosen = matching(names, options.only, lambda name: f"{name[0].title}: {name[1]}")
    samples = []
    for part, figure in chosen:
        for step in part.quick if options.quick else part.steps:
            say(f"{part.title}: {figure}, {step:,}")
            seconds = _QUICK_SECONDS if options.quick else _SECONDS
            samples.append(Sample(part.title, figure, step, _in_process(part, figure, step, seconds)))
    ended = conditions.end(
        f"The best of three rounds or more of {_SECONDS} s in all, each step in a fresh process, client and Redis on "
        "one CPU; no figure for a slowest command under 0.05 ms"
    )
    about = "\n".join(described(ended))
    if options.json:
        measured = [sample._asdict() for sample in samples]
        options.json.write_text(json.dumps({"about": about, "samples": measured}, indent=1))
    for part in dict.fromkeys(part.title for part, _ in chosen):
        (one,) = (one for one in PARTS if one.title == part)
        print(table(one, [sample for sample in samples if sample.part == part]), end="\n\n")
    print("\n".join(["Marked:", "", *(f"* {line}" for line in findings(samples))]), end="\n\n")
    print(about)
    if options.save:
        whole = [part for part in PARTS if all((part, figure) in chosen for figure in part.figures)]
        save(options.save, "growth", ended, {part.title: measured_table(part, samples) for part in whole})
    return 0


def _in_process(part: Part, figure: str, step: int, seconds: float) -> dict[str, Any]:
    one = ["--seconds", str(seconds), "--one", part.title, figure, str(step)]
    command = [sys.executable, "-m", "benchmarks.growth", *one]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=_HANG_SECONDS)
    if ended.returncode:
        raise RuntimeError(f"{part.title}, {figure}, {step}:\n{ended.stderr[-2000:]}")
    measured: dict[str, Any] = json.loads(ended.stdout)
    return measured


def _measure(title: str, figure: str, step: str, seconds: float) -> dict[str, Any]:
    (part,) = (part for part in PARTS if part.title == title)
    with bench_on(int(step) if part.each_is_server else 1, seconds) as bench:
        part.figures[figure](bench, int(step))
        bench.layer.close()
    return bench.figure


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.growth", description="How the cost of a call grows with the work."
    )
    parser.add_argument(
        "--quick", action="store_true", help="small steps, short rounds, to see that everything works"
    )
    parser.add_argument("--only", metavar="REGEX", default="", help='figures whose "part: figure" matches')
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every round")
    add_save(parser)
    parser.add_argument("--one", nargs=3, metavar=("PART", "FIGURE", "STEP"), help=argparse.SUPPRESS)
    parser.add_argument("--seconds", type=float, default=_SECONDS, help=argparse.SUPPRESS)
    return parser


if __name__ == "__main__":
    run(main)
