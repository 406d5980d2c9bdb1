"""
``python -m benchmarks``: asgi_redis compared with other layers, in one table.

To be called in the root of the checkout. It makes a virtual environment for each subject (from PyPI, made once, kept
in ``~/.cache/asgi_redis-benchmarks``) and starts a Redis on a free port. It needs Linux, Python 3.9 to 3.11,
since asgi_redis 1.4.3 does, and a ``redis-server`` on the PATH. ::

    python -m benchmarks                     # five runs, about ten minutes
    python -m benchmarks --quick             # one short run: does it work? The figures mean little
    python -m benchmarks --only "group send" # the workloads whose name matches
    python -m benchmarks --json all.json     # keeps every sample; --load all.json prints them again
    python -m benchmarks --cpus two          # clients on one CPU, Redis on another
    python -m benchmarks --save              # writes benchmarks/results/main.json, for benchmarks.figures

How it measures
===============

Each figure comes from a fresh process, pinned to a CPU, that makes the same call for 0.3 s after a few
calls that connect, load scripts and check that the call does its work. The queues are emptied (and
filled, for receive) every 1,000 calls, off the clock and not through the client under test. Within a run
the subjects take turns, workload by workload; each run starts with another subject and a new Redis; the
table has the medians of the runs. On one CPU, client and Redis together have all of it. Where they had less
than 95 %, something else ran, and the measurement is repeated once. The heading counts the measurements that
were still disturbed then.

``--cpus one``, the default, puts clients and Redis on the same CPU. Waking an idle CPU then costs
nothing, so the figures are steady, and a rate is one second over all the work that a call makes on both
sides. ``two`` is nearer to a network: each round trip waits for a CPU to wake up, and varies with the
machine.

What the figures mean
=====================

ops/s
    Calls a second, one caller. "8 threads" are eight threads on one layer object; for channels_redis in
    one event loop they are eight tasks of that loop.
receive
    The messages are in the queue already. channels_redis has no receive that does not block; its figure
    is that of its blocking one, which never has to wait here.
group send
    One message of 100 B to so many channels. "own prefixes": each channel is in another process
    (``specific.<uuid>!<uuid>``), and so has its own queue; "one prefix": all are in one process.
ping-pong
    There and back between two processes that each block in receive, in µs.
idle
    CPU time of a process that does nothing but wait in a blocking receive, in ms a second.
async_to_sync
    channels_redis called from plain code, each call wrapped separately: a new event loop and a new
    connection each time. After a receive it also waits for the clean-up of channels_redis; without that,
    the same message is received again and again on redis-py 8.
Client CPU, Redis CPU
    User and system time of the calling process (getrusage), and of Redis (INFO cpu), over the timed
    calls.
round trips, bytes
    Counted by a TCP proxy between client and Redis, in a separate pass that is not timed; requests and
    replies.
floors
    The cost of a send without a layer: our send script through ``redis.Redis.evalsha``, through a bare
    ``redis.Connection``, and one PING on such a connection.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from pathlib import Path

from .command import check_save, interleaved, matching, parser_for, run, say
from .environments import Environments
from .record import Conditions, described, save
from .runner import Runner, taking_part
from .samples import Samples
from .server import redis_on
from .table import measured_tables
from .text import report
from .workloads import WORKLOADS, Workload


def main(argv: list[str] | None = None) -> int:
    """Run the command; return the exit code."""
    arguments = _parser().parse_args(argv)
    check_save(arguments, "only", "load")
    chosen = matching(WORKLOADS, arguments.only, lambda workload: workload.name)
    if arguments.load:
        kept = json.loads(arguments.load.read_text())
        about, results = kept["about"], Samples.from_json(kept["results"])
        measured = {name for name, _ in results.samples}
        workloads = [workload for workload in chosen if workload.name in measured]
    else:
        workloads = chosen
        conditions = Conditions("benchmarks", sys.argv[1:] if argv is None else argv)
        how, versions, results = _measure(arguments, workloads)
        ended = conditions.end(how, versions)
        about = described(ended)
        if arguments.save:
            save(arguments.save, "main", ended, measured_tables(workloads, results))
    if arguments.json:
        arguments.json.write_text(json.dumps({"about": about, "results": results.to_json()}, indent=1))
    print("\n".join(about), "", report(workloads, results), sep="\n")
    return 0


def _measure(arguments: argparse.Namespace, workloads: list[Workload]) -> tuple[str, dict[str, str], Samples]:
    """Return how it was measured, the versions, and the samples."""
    cpus = sorted(os.sched_getaffinity(0))
    if arguments.cpus == "two" and len(cpus) < 2:
        raise SystemExit("--cpus two: this process may use one CPU only")
    client, server_cpu = (cpus[-1], cpus[-1]) if arguments.cpus == "one" else (cpus[-2], cpus[-1])
    runs = arguments.runs or (1 if arguments.quick else 5)
    seconds, idle_seconds = (0.1, 1.0) if arguments.quick else (0.3, 5.5)  # a blocking pop lasts 5 s, most often
    environments = Environments(arguments.environments)
    environments.make({subject.environment for workload in workloads for subject in taking_part(workload)})
    runner = Runner(environments, client, seconds, idle_seconds, say, alone=client == server_cpu)
    for turn in range(runs):
        with redis_on(server_cpu) as server:
            runner.run(server.port, workloads, turn)
            if turn == runs - 1:
                runner.count(server.port, workloads)
    pinned = (
        f"clients and Redis pinned to one CPU ({client})"
        if client == server_cpu
        else f"clients pinned to CPU {client}, Redis to CPU {server_cpu}"
    )
    how = f"{interleaved(runs, 'run')}, each figure {seconds} s in a fresh process; {pinned}"
    if runner.measured:
        disturbed = f"{runner.disturbed} of {runner.measured} measurements shared that CPU with something else"
        how += f"; {disturbed} (more than 5 % of it)"
    return how, environments.versions(), runner.results


def _parser() -> argparse.ArgumentParser:
    parser = parser_for("benchmarks", "asgi_redis beside its peers.", "run", 5)
    parser.add_argument("--only", metavar="REGEX", default="", help="workloads whose name matches")
    parser.add_argument("--cpus", choices=("one", "two"), default="one", help="clients and Redis on one CPU, or two")
    parser.add_argument("--load", type=Path, metavar="FILE", help="measure nothing, show what --json wrote")
    return parser


if __name__ == "__main__":
    run(main)
