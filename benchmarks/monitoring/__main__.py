"""
``python -m benchmarks.monitoring``: the cost of seeing what is going on.

To be called in the root of the checkout, with the extra ``tests``, on Linux, with ``redis-server`` on the PATH. ::

    python -m benchmarks.monitoring                    # all of it, ten minutes at most
    python -m benchmarks.monitoring --quick            # one short round: does it work?
    python -m benchmarks.monitoring --only looking     # the parts whose names match
    python -m benchmarks.monitoring --json all.json    # keeps every sample
    python -m benchmarks.monitoring --save             # writes benchmarks/results/monitoring.json

The parts
=========

looking
    A sweep of ``layer.inspector``, and ``asgi_redis.monitor.Monitor``, on a Redis with 1,000,000 keys, 100,000 of
    which are channels with messages, and 100,000 others their counters. The sweep makes no pauses; the monitor rests
    nine times as long as it asks, and is measured from its start to the end of its first sweep. The longest command
    is that of Redis's SLOWLOG. Another client sends a PING every two milliseconds meanwhile, and without either. The
    server is pinned to one CPU, where it has the highest priority if that is allowed: other programs there would make
    its commands longer. The best of the rounds counts for the longest command and the longest PING, and the median
    for the rest.

registry
    A client writes the entries of no, 1, 100 and 1,000 workers, each every two seconds: reports of 20 channels and
    eight running consumers. Redis's time is that of its whole process, which is not idle without a client, either.

working
    A worker with consumers that do nothing empties four full channels: without anything that looks at it, and with
    the registry, a heartbeat file, metrics that are read every ten seconds, and a monitor in another process. Redis
    has one CPU, the worker another, and the monitor runs where there is room. The two take turns. The CPU time is
    that of the worker's process, with the reading of its metrics: other programs on the machine change it less than
    they change the messages a second.

Each part has a time for its rounds. Where that is over, the rest of them is left out, and the method of the tables
says so. There is one round at least.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

from ..cluster.figures import Figures
from ..command import add_save, check_save, matching, run, say
from ..record import Conditions, described, save
from . import looking, registry, working


class Amount(NamedTuple):
    """How much is measured."""

    rounds: int
    scale: float  # of the numbers of keys and messages
    seconds: float  # of one measurement, where it is not the messages that count


class Rounds:
    """The numbers of some rounds, as far as their ``seconds`` allow, and of one at least."""

    def __init__(self, number: int, seconds: float) -> None:
        self._number = number
        self._seconds = seconds
        self._done = 0

    def __iter__(self) -> Iterator[int]:
        began, longest = time.monotonic(), 0.0
        for turn in range(self._number):
            started = time.monotonic()
            if turn and started + longest > began + self._seconds:
                break
            self._done += 1
            yield turn
            longest = max(longest, time.monotonic() - started)

    def __str__(self) -> str:
        text = f"{self._done} round{'s' * (self._done != 1)}"
        left_out = f", instead of {self._number}: they have {self._seconds:g} s" if self._done < self._number else ""
        return text + left_out


Measure = Callable[[Figures, Amount, Rounds], None]
FULL = Amount(3, 1.0, 8.0)
QUICK = Amount(1, 0.005, 0.5)


def _looking(figures: Figures, amount: Amount, rounds: Rounds) -> None:
    looking.measure(figures, rounds, int(1_000_000 * amount.scale), int(100_000 * amount.scale))


def _registry(figures: Figures, amount: Amount, rounds: Rounds) -> None:
    registry.measure(figures, rounds, amount.seconds)


def _working(figures: Figures, amount: Amount, rounds: Rounds) -> None:
    working.measure(figures, rounds, int(100_000 * amount.scale))


class Part(NamedTuple):
    """One part of the benchmark."""

    measure: Measure
    method: str
    share: int  # rounds for each of ``--rounds``
    seconds: float  # that they may take


PARTS = {
    "looking": Part(_looking, "Medians, and for the longest command and the longest PING the best,", 1, 180.0),
    "registry": Part(_registry, "Medians", 1, 120.0),
    "working": Part(_working, "Medians", 2, 300.0),
}


def main(argv: list[str] | None = None) -> int:
    """Run the command; return the exit code."""
    arguments = _parser().parse_args(argv)
    check_save(arguments)
    amount = QUICK if arguments.quick else FULL
    amount = amount._replace(rounds=arguments.rounds or amount.rounds)
    all_figures, about = Figures(), []
    for name in matching(PARTS, arguments.only, str):
        say(name)
        conditions = Conditions("benchmarks.monitoring", sys.argv[1:] if argv is None else argv)
        figures = Figures()
        part = PARTS[name]
        rounds = Rounds(part.share * amount.rounds, part.seconds)
        part.measure(figures, amount, rounds)
        cpus = sorted(os.sched_getaffinity(0))
        ended = conditions.end(f"{part.method} of {rounds}; all processes on CPU {cpus}")
        about += [f"{name}:", *described(ended)]
        if arguments.save:
            save(arguments.save, "monitoring", ended, figures.measured())
        all_figures.samples.update(figures.samples)
    if arguments.json:
        arguments.json.write_text(json.dumps({"about": about, "figures": all_figures.to_json()}, indent=1))
    print("\n\n".join(["\n".join(about), *all_figures.tables()]))
    return 0


def _parser() -> argparse.ArgumentParser:
    description = "The cost of seeing what is going on."
    parser = argparse.ArgumentParser(prog="python -m benchmarks.monitoring", description=description)
    parser.add_argument("--quick", action="store_true", help="one short round, to see that everything works")
    parser.add_argument("--only", metavar="REGEX", default="", help="parts whose name matches")
    parser.add_argument("--rounds", type=int, metavar="N", help=f"rounds ({FULL.rounds}; 1 with --quick)")
    add_save(parser)
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every sample")
    return parser


if __name__ == "__main__":
    run(main)
