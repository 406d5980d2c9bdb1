"""
IPCChannelLayer compared with RedisChannelLayer on loopback.

    python -m benchmarks.ipc               # five runs, about a minute
    python -m benchmarks.ipc --quick       # one short run: does it work?
    python -m benchmarks.ipc --save        # writes benchmarks/results/ipc.json
    python -m benchmarks.ipc --profile     # where the time of a send and of a receive goes, for IPC

Messages have 100 B. Each figure is the median of the runs; within a run the layers take turns. Everything is pinned
to one CPU, Redis, too: a rate is one second over all the work that a call makes. A run starts with new
stores. "Backlog" is how many messages wait in the channel meanwhile. Ping-pong is there and back between two
processes that each block in receive.
"""

from __future__ import annotations

import argparse
import contextlib
import cProfile
import os
import pstats
import signal
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from asgi_redis import IPCChannelLayer, RedisChannelLayer
from asgi_redis.embedded import RedisServer

from .command import add_save, check_save, interleaved
from .record import Conditions, Line, Measured, described, save
from .rounds import Rounds

LAYERS = ("IPC", "Redis")
MESSAGE = {"data": b"x" * 90}
BACKLOGS = (0, 1_000, 100_000)
CHUNK = 500
MEMBERS = 100
LARGE = 1_000_000_000
TARGETS = {"sent and received": 10, "group sends": 4, "in batches": 4, "ping-pong, p50": 4}
"""How many times as fast IPC should be, for the figures with that text in their names."""
Figure = tuple[str, str]
"""Name and unit."""


def main(argv: list[str] | None = None) -> int:
    """Run the command; return the exit code."""
    arguments = _parser().parse_args(argv)
    check_save(arguments, "profile")
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    if arguments.profile:
        with _ipc() as layer:
            _profile(layer)
        return 0
    runs, seconds = (1, 0.05) if arguments.quick else (arguments.runs, 0.5)
    conditions = Conditions("benchmarks.ipc", sys.argv[1:] if argv is None else argv)
    lines = _measure(runs, seconds)
    how = f"{interleaved(runs, 'run')}, {seconds} s a figure, everything on one CPU"
    ended = conditions.end(how)
    print("\n".join(described(ended)), end="\n\n")
    print(f"{'':44}{'IPC':>12}{'Redis':>12}{'times':>8}{'target':>10}")
    for name, unit, (ipc_figure, redis_figure, times) in lines:
        shown = f"{ipc_figure:12,.0f}{redis_figure:12,.0f}{times:8.1f}{_verdict(name, times):>10}"
        print(f"{f'{name}, {unit}':44}{shown}".rstrip())
    if arguments.save:
        title = "IPCChannelLayer beside RedisChannelLayer"
        save(arguments.save, "ipc", ended, {"rates": Measured(title, [*LAYERS, "times"], lines)})
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.ipc", description="IPCChannelLayer beside Redis.")
    parser.add_argument("--quick", action="store_true", help="one short run, to see that everything works")
    parser.add_argument("--runs", type=int, default=5, metavar="N")
    parser.add_argument("--profile", action="store_true", help="profile the IPC layer instead")
    add_save(parser)
    return parser


def _measure(runs: int, seconds: float) -> list[Line]:
    """Return a line for each figure: the medians of both layers, and how many times as fast IPC is."""
    samples: dict[Figure, dict[str, list[float]]] = {}
    for run in range(runs):
        with RedisServer() as server, _ipc() as ipc, _redis(server) as redis:
            layers = [*zip(LAYERS, (ipc, redis))][:: 1 if run % 2 else -1]
            for backlog in BACKLOGS:
                for layer_name, layer in layers:
                    for (what, unit), rate in _rates(layer, backlog, seconds).items():
                        row = f"{what}, backlog {backlog:,}", unit
                        samples.setdefault(row, {}).setdefault(layer_name, []).append(rate)
            for layer_name, layer in layers:
                for row, figure in {**_many(layer, seconds), **_ping_pong(layer, seconds)}.items():
                    samples.setdefault(row, {}).setdefault(layer_name, []).append(figure)
    lines = []
    for (what, unit), by_layer in samples.items():
        of_ipc, of_redis = (statistics.median(by_layer[name]) for name in LAYERS)
        lines.append(Line(what, unit, [of_ipc, of_redis, of_redis / of_ipc if unit == "µs" else of_ipc / of_redis]))
    return lines


def _verdict(what: str, faster: float) -> str:
    factors = [factor for text, factor in TARGETS.items() if text in what]
    return f"≥ {factors[0]} {'yes' if faster >= factors[0] else 'NO'}" if factors else ""


@contextlib.contextmanager
def _ipc() -> Iterator[Any]:
    memory = "/dev/shm" if Path("/dev/shm").is_dir() else None
    settings = {"capacity": LARGE, "expiry": 3600}
    with tempfile.TemporaryDirectory(dir=memory) as base, IPCChannelLayer(path=base, **settings) as layer:
        yield layer


@contextlib.contextmanager
def _redis(server: RedisServer) -> Iterator[Any]:
    with RedisChannelLayer(hosts=[server.url], capacity=LARGE, expiry=3600) as layer:
        yield layer


def _rates(layer: Any, backlog: int, seconds: float) -> dict[Figure, float]:
    layer.flush()
    for _ in range(backlog):
        layer.send("work", MESSAGE)
    spent = {"send": 0.0, "receive": 0.0}
    calls = 0
    while sum(spent.values()) < 2 * seconds:
        began = time.perf_counter()
        for _ in range(CHUNK):
            layer.send("work", MESSAGE)
        between = time.perf_counter()
        for _ in range(CHUNK):
            layer.receive(["work"])
        spent["send"] += between - began
        spent["receive"] += time.perf_counter() - between
        calls += CHUNK
    rates = {(what, "messages/s"): calls / spent[what] for what in spent}
    rates["sent and received", "messages/s"] = calls / sum(spent.values())
    return rates


def _many(layer: Any, seconds: float) -> dict[Figure, float]:
    layer.flush()
    members = [f"member{number}" for number in range(MEMBERS)]
    for member in members:
        layer.group_add("group", member)
    spent = {"group sends": 0.0, "batches": 0.0}
    calls = 0
    while sum(spent.values()) < seconds:
        began = time.perf_counter()
        layer.send_group("group", MESSAGE)
        between = time.perf_counter()
        received = layer.receive_batch(members, MEMBERS)
        spent["group sends"] += between - began
        spent["batches"] += time.perf_counter() - between
        calls += 1
        assert len(received) == MEMBERS
    return {
        (f"group sends, {MEMBERS} channels", "sends/s"): calls / spent["group sends"],
        (f"received in batches of {MEMBERS}", "messages/s"): calls * MEMBERS / spent["batches"],
    }


def _ping_pong(layer: Any, seconds: float) -> dict[Figure, float]:
    layer.flush()
    pid = os.fork()
    if not pid:
        try:
            while True:
                _, message = layer.receive(["ping"], block=True)
                if message is not None:
                    layer.send("pong", message)
        finally:
            os._exit(1)
    rounds = Rounds(seconds)
    while not rounds.over:
        with rounds:
            layer.send("ping", MESSAGE)
            layer.receive(["pong"], block=True)
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    times = rounds.to_json()
    return {("ping-pong, p50", "µs"): times["p50"], ("ping-pong, p99", "µs"): times["p99"]}


def _profile(layer: Any) -> None:
    layer.send("work", MESSAGE)
    for call in (lambda: layer.send("work", MESSAGE), lambda: layer.receive(["work"])):
        profile = cProfile.Profile()
        profile.enable()
        for _ in range(50_000):
            call()
        profile.disable()
        pstats.Stats(profile).sort_stats("tottime").print_stats(15)


if __name__ == "__main__":
    sys.exit(main())
