"""
``python -m benchmarks.dispatch``: our worker compared with others.

To be called in the root of the checkout. It compares one worker process with one of Channels 4's ``runworker``,
dramatiq, huey, celery and rq, with the same consumer, on the same Redis. It makes a virtual environment for each
subject (from PyPI, the newest releases of that day, kept in ``~/.cache/asgi_redis-benchmarks``) and starts a Redis on
a free port. It needs Linux, ``taskset``, and a
``redis-server`` on the PATH. ::

    python -m benchmarks.dispatch                     # three rounds, about twenty minutes
    python -m benchmarks.dispatch --quick             # one short round, 1 and 8 slots: does it work?
    python -m benchmarks.dispatch --only no-op        # the workloads whose name matches
    python -m benchmarks.dispatch --subjects ours     # the subjects whose key matches
    python -m benchmarks.dispatch --cpus two          # the worker on one CPU, Redis on another
    python -m benchmarks.dispatch --json all.json     # keeps every sample
    python -m benchmarks.dispatch --save              # writes benchmarks/results/dispatch.json

How it measures
===============

A queue is filled, by the subject's own way to send, with as many messages as last for a second; then the worker is
started, as its users start it. Its consumer, the same code for all (``recorder.py``), counts within the worker
process, and takes the time from the beginning of the first message to the end of the last, so that neither the start
of the worker nor its end counts. The number of messages comes from a trial with a few hundred, before round one. The
subjects take turns, workload by workload; each round starts with another one, and with a new Redis. The tables have
the medians.

``--cpus one``, the default, puts worker and Redis on one CPU, ``two`` on one each (with two CPUs in all, producers
then share Redis's). Producers get another CPU where there is one left.

What the figures mean
=====================

msg/s
    Messages a second.
msg/CPU s
    Messages for each second of CPU time, user and system, of the worker process and all its children.
half load
    The queue is empty, and four other processes send at a steady rate: half of the rate at which this subject runs
    messages while the same processes send as fast as they can, which is measured before. p50 and p99 are the times
    from before the send to the first line of the consumer; "sent/s" is the rate. The first fifth of the messages
    does not count.
slots
    Threads or greenlets. Channels 4's worker and rq's ``SimpleWorker`` have one message in hand at a time.
sleeps
    ``time.sleep``, which is the greenlet's in the gevent pools (``asyncio.sleep`` for Channels 4's async consumer).
    1,000 slots that sleep for 50 ms could do 20,000 messages a second.

sleep alone
    The same consumer in a loop in as many threads, without messages and without Redis: Linux lets a sleep of 1 ms
    last 1.05 to 1.1 ms. The target of these rows is a share of that.

The subjects differ in kind: dramatiq and celery fetch messages ahead and hold them in the process (256 or more; 64
for each slot), Channels 4's worker without a limit; huey and ours do not. The settings are those
that their documentation gives for many short tasks, or the fastest that were found, with no results and no log: see
``subjects.py`` and ``apps/``.
"""

from __future__ import annotations

import argparse
import json
import os
import sys

from ..command import check_save, interleaved, matching, parser_for, run, say
from ..record import Conditions, described, save
from ..samples import Samples
from ..server import redis_on
from .environments import DispatchEnvironments
from .report import measured_tables, report
from .runner import Runner
from .subjects import SUBJECTS, Subject
from .workloads import QUICK, WORKLOADS, Workload


def main(argv: list[str] | None = None) -> int:
    """Run the command; return the exit code."""
    arguments = _parser().parse_args(argv)
    check_save(arguments, "only", "subjects")
    chosen = matching(WORKLOADS, arguments.only, lambda one: one.name)
    workloads = [one for one in chosen if one.slots in QUICK or not arguments.quick]
    subjects = matching(SUBJECTS, arguments.subjects, lambda one: one.key)
    conditions = Conditions("benchmarks.dispatch", sys.argv[1:] if argv is None else argv)
    how, versions, results = _measure(arguments, workloads, subjects)
    ended = conditions.end(how, versions)
    about = described(ended)
    if arguments.json:
        arguments.json.write_text(json.dumps({"about": about, "results": results.to_json()}, indent=1))
    print("\n".join(about), "", report(workloads, subjects, results), sep="\n")
    if arguments.save:
        save(arguments.save, "dispatch", ended, measured_tables(results))
    return 0


def _measure(
    arguments: argparse.Namespace, workloads: list[Workload], subjects: list[Subject]
) -> tuple[str, dict[str, str], Samples]:
    """Return how it was measured, the versions, and the samples."""
    cpus = sorted(os.sched_getaffinity(0))
    if arguments.cpus == "two" and len(cpus) < 2:
        raise SystemExit("--cpus two: this process may use one CPU only")
    redis_cpu, worker_cpu = cpus[-1], cpus[-1] if arguments.cpus == "one" else cpus[-2]
    others = [cpu for cpu in cpus if cpu not in (redis_cpu, worker_cpu)]
    producer_cpu = others[-1] if others else redis_cpu
    rounds, seconds = arguments.rounds or (1 if arguments.quick else 3), 0.3 if arguments.quick else 1.0
    environments = DispatchEnvironments(arguments.environments)
    environments.make({subject.environment for subject in subjects})
    runner = Runner(environments.python, worker_cpu, producer_cpu, seconds)
    results = Samples()
    for turn in range(rounds):
        with redis_on(redis_cpu) as server:
            for workload in workloads:
                taking_part = [one for one in workload.subjects() if one in subjects]
                for at in range(len(taking_part)):
                    subject = taking_part[(at + turn) % len(taking_part)]
                    answer = runner.measure(server.port, workload, subject)
                    results.add(workload, subject, answer)
                    shown = ", ".join(f"{name} {value:,.0f}" for name, value in answer.items() if name != "error")
                    say(f"{turn + 1}/{rounds} {workload.name}: {subject.key}: {answer.get('error') or shown}")
    where = f"worker on CPU {worker_cpu}, Redis on {redis_cpu}, producer on {producer_cpu} of {len(cpus)}"
    how = f"{interleaved(rounds, 'round')}, {seconds:g} s a measurement; {where}"
    return how, environments.versions(), results


def _parser() -> argparse.ArgumentParser:
    description = "The worker compared with that of Channels 4 and with task queues."
    parser = parser_for("benchmarks.dispatch", description, "round", 3)
    parser.add_argument("--only", metavar="REGEX", default="", help="workloads whose name matches")
    parser.add_argument("--subjects", metavar="REGEX", default="", help="subjects whose key matches")
    parser.add_argument("--cpus", choices=("one", "two"), default="one", help="worker and Redis on one CPU, or two")
    return parser


if __name__ == "__main__":
    run(main)
