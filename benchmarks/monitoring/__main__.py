"""
``python -m benchmarks.monitoring``: the cost of seeing what is going on.

To be called in the root of the checkout, with the extra ``tests``, on Linux, with ``redis-server`` on the PATH. ::

    python -m benchmarks.monitoring                    # all of it
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
    server is pinned to one CPU, where it has real-time priority if that is allowed: other programs there would make
    its commands longer. The best of the rounds counts for the longest command and the longest PING, and the median
    for the rest.

registry
    A client writes the entries of 1, 100 and 1,000 workers, each every two seconds: reports of 20 channels and eight
    running consumers. Redis's time is that of its whole process.

working
    A worker with consumers that do nothing empties four full channels: without anything that looks at it, and with
    the registry, a heartbeat file, metrics that are read every ten seconds, and a monitor in another process. Redis
    has one CPU, the worker another, and the monitor runs where there is room. The two take turns.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Callable
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


Measure = Callable[[Figures, Amount], None]
FULL = Amount(3, 1.0, 10.0)
QUICK = Amount(1, 0.005, 0.5)


def _looking(figures: Figures, amount: Amount) -> None:
    looking.measure(figures, amount.rounds, int(1_000_000 * amount.scale), int(100_000 * amount.scale))


def _registry(figures: Figures, amount: Amount) -> None:
    registry.measure(figures, amount.rounds, amount.seconds)


def _working(figures: Figures, amount: Amount) -> None:
    working.measure(figures, _ROUNDS["working"] * amount.rounds, int(20_000 * amount.scale))


PARTS: dict[str, Measure] = {"looking": _looking, "registry": _registry, "working": _working}
_ROUNDS = {"looking": 1, "registry": 1, "working": 3}  # for each of ``--rounds``
_METHODS = {
    "looking": "Medians, and for the longest command and the longest PING the best,",
    "registry": "Medians",
    "working": "Medians",
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
        PARTS[name](figures, amount)
        rounds, cpus = amount.rounds * _ROUNDS[name], sorted(os.sched_getaffinity(0))
        ended = conditions.end(
            f"{_METHODS[name]} of {rounds} round{'s' * (rounds != 1)}, all processes on CPU {cpus}"
        )
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
