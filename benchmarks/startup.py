"""
What a process costs before it works: the time of imports, and the memory of an idle worker.

    python -m benchmarks.startup                  # some minutes
    python -m benchmarks.startup --quick          # one round: does it work?
    python -m benchmarks.startup --only imports   # or memory
    python -m benchmarks.startup --save           # writes benchmarks/results/startup.json

It makes the virtual environments of ``benchmarks.dispatch``, and starts a Redis on a free port.

Imports: milliseconds in a fresh interpreter that has imported ``redis``, which no user of Redis can save, and those
of ``redis`` itself. The statements take turns; bytecode is in the cache, as in every start but the first. Memory: a
worker with eight threads or greenlets, as its users start it, after some hundred messages; all its processes
together, in megabytes. RSS counts the pages that processes share in each of them, PSS once.
"""

from __future__ import annotations

import contextlib
import json
import os
import statistics
import subprocess
import sys
from pathlib import Path

from .command import check_save, matching, parser_for, run, say
from .dispatch.environments import DispatchEnvironments
from .dispatch.runner import ROOT, Failed, Runner
from .dispatch.subjects import SUBJECTS
from .record import Conditions, Line, Measured, described, heading, save
from .server import redis_on

IMPORTS = {
    "redis": "import redis",
    "asgi_redis": "import asgi_redis",
    "RedisChannelLayer": "from asgi_redis import RedisChannelLayer",
    "workers": "import workers",
    "Channel, Group": "from workers import Channel, Group",
    "Worker, Pool": "from workers import Worker, Pool",
    "asgi_redis.aio.RedisChannelLayer": "from asgi_redis.aio import RedisChannelLayer",
}
PARTS = ("imports", "memory")
MEMORIES = ("memory, RSS", "memory, PSS")
WORKERS = [one for one in SUBJECTS if one.kind != "floor"]
SLOTS = 8
_TIMED = "{}import time; began = time.perf_counter()\n{}\nprint(time.perf_counter() - began)"


def main(argv: list[str] | None = None) -> int:
    """Run the command; return the exit code."""
    parser = parser_for("benchmarks.startup", "Imports, and the memory of an idle worker.", "round", 15)
    parser.add_argument("--only", metavar="REGEX", default="", help="imports or memory")
    arguments = parser.parse_args(argv)
    check_save(arguments)
    parts = matching(PARTS, arguments.only, str)
    rounds = arguments.rounds or (1 if arguments.quick else 15)
    environments = DispatchEnvironments(arguments.environments)
    environments.make({one.environment for one in WORKERS} if "memory" in parts else {"dispatch_ours"})
    conditions = Conditions("benchmarks.startup", sys.argv[1:] if argv is None else argv)
    samples: dict[str, dict[str, list[float]]] = {}
    if "imports" in parts:
        samples["imports"] = import_times(environments.python["dispatch_ours"], rounds)
    if "memory" in parts:
        samples.update(_memory(environments, min(rounds, 3)))
    if arguments.json:
        arguments.json.write_text(json.dumps(samples, indent=1))
    ended = conditions.end(f"Medians of {rounds} rounds, of memory {min(rounds, 3)}", environments.versions())
    print("\n".join(described(ended)), end="\n\n")
    for part, by_name in samples.items():
        print(part, *(f"  {name:36}{statistics.median(taken):8.1f}" for name, taken in by_name.items()), "", sep="\n")
    if arguments.save:
        save(arguments.save, "startup", ended, _tables(samples))
    return 0


def _tables(samples: dict[str, dict[str, list[float]]]) -> dict[str, Measured]:
    tables = {}
    if "imports" in samples:
        lines = [Line(name, "ms", [statistics.median(taken)]) for name, taken in samples["imports"].items()]
        tables["imports"] = Measured("Imports after that of redis, and that itself", ["time"], lines)
    if MEMORIES[0] in samples:
        lines = []
        for one in WORKERS:
            values = [samples[name].get(one.key) for name in MEMORIES]
            medians = [None if taken is None else statistics.median(taken) for taken in values]
            lines.append(Line(heading(one.title), "MB", medians))
        tables["memory"] = Measured("A worker with eight slots that waits, all its processes", ["RSS", "PSS"], lines)
    return tables


def import_times(python: str, rounds: int) -> dict[str, list[float]]:
    """Return milliseconds by statement; a round that fills the caches does not count."""
    variables = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    variables["PYTHONPATH"] = str(ROOT)
    taken: dict[str, list[float]] = {name: [] for name in IMPORTS}
    for turn in range(rounds + 1):
        for name, statement in IMPORTS.items():
            command = [python, "-c", _TIMED.format("" if name == "redis" else "import redis; ", statement)]
            said = subprocess.run(command, env=variables, cwd=ROOT, stdout=subprocess.PIPE, check=True).stdout
            if turn:
                taken[name].append(1000 * float(said))
    return taken


def _memory(environments: DispatchEnvironments, rounds: int) -> dict[str, dict[str, list[float]]]:
    """Return megabytes by subject, once as RSS and once as PSS."""
    cpu = max(os.sched_getaffinity(0))
    runner = Runner(environments.python, cpu, cpu, seconds=1.0)
    taken: dict[str, dict[str, list[float]]] = {name: {} for name in MEMORIES}
    for turn in range(rounds):
        with redis_on(cpu) as server:
            for subject in WORKERS:
                try:
                    with runner.idle(server.port, subject, min(SLOTS, subject.most_slots)) as session:
                        found = memory_of_session(session)
                except Failed as error:
                    say(f"{subject.key}: {error}")
                    continue
                say(f"{turn + 1}/{rounds} {subject.key}: RSS {found['Rss']:.1f} MB, PSS {found['Pss']:.1f} MB")
                taken["memory, RSS"].setdefault(subject.key, []).append(found["Rss"])
                taken["memory, PSS"].setdefault(subject.key, []).append(found["Pss"])
    return taken


def memory_of_session(session: int) -> dict[str, float]:
    """Return the megabytes of all processes of a session: ``Rss`` and ``Pss``."""
    total = {"Rss": 0.0, "Pss": 0.0}
    for directory in Path("/proc").iterdir():
        if not directory.name.isdecimal():
            continue
        with contextlib.suppress(ProcessLookupError, FileNotFoundError):  # it has ended meanwhile
            if os.getsid(int(directory.name)) == session:
                for line in (directory / "smaps_rollup").read_text().splitlines()[1:]:
                    name, _, value = line.partition(":")
                    if name in total:
                        total[name] += int(value.split()[0]) / 1024
    return total


if __name__ == "__main__":
    run(lambda: main(sys.argv[1:]))
