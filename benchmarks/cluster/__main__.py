"""
``python -m benchmarks.cluster``: a Redis Cluster, and one plain Redis.

To be called in the root of the checkout, with the extra ``tests``, on Linux, with ``redis-server`` and ``redis-cli``
on the PATH. It starts everything itself. ::

    python -m benchmarks.cluster                          # all of it, about twenty minutes
    python -m benchmarks.cluster --quick                  # one short round: does it work?
    python -m benchmarks.cluster --only "rates|failover"  # the parts whose names match
    python -m benchmarks.cluster --json all.json          # keeps every sample
    python -m benchmarks.cluster --load all.json          # shows what was kept, of one file or several
    python -m benchmarks.cluster --save                   # writes benchmarks/results/cluster.json
    python -m benchmarks.cluster --only placement --prefix chat  # the masters of the shards of another prefix

The parts
=========

rates
    Four client processes send and receive, on one Redis and on clusters of one, two and three masters, which take
    turns. Messages have 100 bytes. "One by one": a message is sent, then one is received; on the normal channel
    others wait meanwhile. A message to the group is received by 32 process-local channels with a queue each; each of
    these counts. The coroutines are those of ``asgi_redis.aio``. CPU is user and system time.
shards
    Layers with 1 to 64 shards on three masters. A process waits in ``receive_batch``; another sends it a message
    every 30 ms. The time is that from before the send to after the receive. The CPU time of "nothing
    comes" is that of six seconds, of the servers less that without a client.
failover
    A master out of three with a replica each is killed with SIGKILL (``cluster-node-timeout`` 1 s), each time of
    a new cluster; then the same with ``cluster-require-full-coverage no``. Lost is a message that was acknowledged
    and never received, doubled one that was received twice.
reshard
    ``redis-cli --cluster reshard`` moves all slots of each of three masters to the next and back, with 3,000 queues
    in the shards. A pause is the time from one message that was acknowledged, or received, to the next. A node writes
    its configuration with ``fsync`` for each slot, and serves no client meanwhile: once the file is in memory
    (``/dev/shm``), so that pauses are those of Redis and the layer, and once it is on disk.
placement
    The number of shards on each master, by the hash slots of ``{prefix:n}``. Nothing is measured.
plan
    A million messages a second and 10,000 workers, computed from what was measured.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from ..command import add_save, check_save, interleaved, matching, run, say
from ..record import Conditions, described, save
from . import failover, placement, plan, rates, reshard, shards
from .figures import Figures


class Amount(NamedTuple):
    """How much is measured."""

    rounds: int
    seconds: float  # of a measurement
    kills: int
    queues: int
    is_quick: bool


Measure = Callable[[Figures, Amount], None]
FULL = Amount(5, 1.0, 10, 3000, is_quick=False)
QUICK = Amount(1, 0.05, 1, 100, is_quick=True)


def _rates(figures: Figures, amount: Amount) -> None:
    few = {"numbers": rates.MASTERS[-1:], "clients": 1} if amount.is_quick else {}
    rates.measure(figures, amount.rounds, amount.seconds, **few)


def _shards(figures: Figures, amount: Amount) -> None:
    few = (shards.SHARDS[0], shards.SHARDS[-1])
    shards.measure(figures, amount.rounds, amount.seconds, few if amount.is_quick else shards.SHARDS)


def _failover(figures: Figures, amount: Amount) -> None:
    failover.measure(figures, amount.kills, failover.COVERAGES[:1] if amount.is_quick else failover.COVERAGES)


def _reshard(figures: Figures, amount: Amount) -> None:
    reshard.measure(figures, amount.queues, amount.seconds, with_redis_cli=not amount.is_quick)


PARTS: dict[str, Measure] = {"rates": _rates, "shards": _shards, "failover": _failover, "reshard": _reshard}
PAPER = ("placement", "plan")


def main(argv: list[str] | None = None) -> int:
    """Run the command; return the exit code."""
    arguments = _parser().parse_args(argv)
    check_save(arguments, "load")
    parts = matching([*PARTS, *PAPER], arguments.only, str)
    about, figures = _load(arguments.load) if arguments.load else _measure(arguments, parts, argv)
    if arguments.json:
        arguments.json.write_text(json.dumps({"about": about, "figures": figures.to_json()}, indent=1))
    blocks = ["\n".join(about), *figures.tables()]
    if "placement" in parts:
        blocks.append(placement.table(arguments.prefix))
    if "plan" in parts:
        blocks.append(plan.text(figures))
    print("\n\n".join(filter(None, blocks)))
    return 0


def _load(files: list[Path]) -> tuple[list[str], Figures]:
    kept = [json.loads(file.read_text()) for file in files]
    lines = dict.fromkeys(line for one in kept for line in one["about"])
    return [*lines], Figures.from_json([one for file in kept for one in file["figures"]])


def _measure(arguments: argparse.Namespace, parts: list[str], argv: list[str] | None) -> tuple[list[str], Figures]:
    all_figures, about = Figures(), []
    whole = Conditions("benchmarks.cluster", sys.argv[1:] if argv is None else argv)
    amount = QUICK if arguments.quick else FULL
    amount = amount._replace(rounds=arguments.rounds or amount.rounds, kills=arguments.kills or amount.kills)
    for name in [part for part in parts if part in PARTS]:
        say(name)
        conditions = Conditions("benchmarks.cluster", sys.argv[1:] if argv is None else argv)
        figures = Figures()
        PARTS[name](figures, amount)
        ended = conditions.end(f"{_method(name, amount)}; all processes on CPU {sorted(os.sched_getaffinity(0))}")
        about += [f"{name}:", *described(ended)]
        if arguments.save:
            save(arguments.save, "cluster", ended, figures.measured())
        all_figures.samples.update(figures.samples)
    if arguments.save and "plan" in parts:
        save(arguments.save, "cluster", whole.end("Computed from the tables of this run"), plan.measured(all_figures))
    return about, all_figures


def _method(part: str, amount: Amount) -> str:
    if part == "failover":
        return f"Medians of {amount.kills} kills of masters, a new cluster for each"
    if part == "reshard":
        return "One run"
    return f"{interleaved(amount.rounds, 'round')} of {amount.seconds:g} s"


def _parser() -> argparse.ArgumentParser:
    description = "A Redis Cluster, and one plain Redis."
    parser = argparse.ArgumentParser(prog="python -m benchmarks.cluster", description=description)
    parser.add_argument("--quick", action="store_true", help="one short round, to see that everything works")
    parser.add_argument("--only", metavar="REGEX", default="", help="parts whose name matches")
    parser.add_argument("--rounds", type=int, metavar="N", help=f"interleaved rounds ({FULL.rounds}; 1 with --quick)")
    parser.add_argument("--kills", type=int, metavar="N", help=f"masters to kill ({FULL.kills}; 1 with --quick)")
    parser.add_argument("--prefix", default="asgi", help="the layer's, for the placement of shards")
    add_save(parser)
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every sample")
    parser.add_argument(
        "--load", type=Path, metavar="FILE", nargs="+", help="measure nothing, show what --json wrote"
    )
    return parser


if __name__ == "__main__":
    run(main)
