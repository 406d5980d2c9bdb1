"""
IPCChannelLayer compared with RedisChannelLayer on loopback.

    python -m benchmarks.ipc               # five runs, about a minute
    python -m benchmarks.ipc --quick       # one short run: does it work?
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

from .rounds import Rounds

MESSAGE = {"data": b"x" * 90}
BACKLOGS = (0, 1_000, 100_000)
CHUNK = 500
MEMBERS = 100
LARGE = 1_000_000_000
TARGETS = {"sent and received": 10, "group sends": 4, "in batches": 4, "ping-pong p50": 4}
"""How many times as fast IPC should be, for the figures with that text in their names."""


def main() -> int:
    """Run the command; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.ipc", description="IPCChannelLayer beside Redis.")
    parser.add_argument("--quick", action="store_true", help="one short run, to see that everything works")
    parser.add_argument("--runs", type=int, default=5, metavar="N")
    parser.add_argument("--profile", action="store_true", help="profile the IPC layer instead")
    arguments = parser.parse_args()
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    if arguments.profile:
        with _ipc() as layer:
            _profile(layer)
        return 0
    runs, seconds = (1, 0.05) if arguments.quick else (arguments.runs, 0.5)
    samples: dict[str, dict[str, list[float]]] = {}
    for run in range(runs):
        with RedisServer() as server, _ipc() as ipc, _redis(server) as redis:
            layers = [("IPC", ipc), ("Redis", redis)]
            for backlog in BACKLOGS:
                for name, layer in layers[:: 1 if run % 2 else -1]:
                    for what, rate in _rates(layer, backlog, seconds).items():
                        samples.setdefault(f"{what}, backlog {backlog:,}", {}).setdefault(name, []).append(rate)
            for name, layer in layers[:: 1 if run % 2 else -1]:
                for what, figure in {**_many(layer, seconds), **_ping_pong(layer, seconds)}.items():
                    samples.setdefault(what, {}).setdefault(name, []).append(figure)
    print(f"Medians of {runs} interleaved runs, {seconds} s a figure, on one CPU; Python {sys.version.split()[0]}.\n")
    print(f"{'':44}{'IPC':>12}{'Redis':>12}{'ratio':>8}{'target':>10}")
    for what, by_layer in samples.items():
        ipc_figure, redis_figure = (statistics.median(by_layer[name]) for name in ("IPC", "Redis"))
        faster = redis_figure / ipc_figure if "µs" in what else ipc_figure / redis_figure
        row = f"{what:44}{ipc_figure:12,.0f}{redis_figure:12,.0f}{faster:8.1f}{_verdict(what, faster):>10}"
        print(row.rstrip())
    return 0


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


def _rates(layer: Any, backlog: int, seconds: float) -> dict[str, float]:
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
    rates = {f"{what}/s": calls / spent[what] for what in spent}
    rates["messages/s, sent and received"] = calls / sum(spent.values())
    return rates


def _many(layer: Any, seconds: float) -> dict[str, float]:
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
        f"group sends/s, {MEMBERS} channels": calls / spent["group sends"],
        f"messages/s, in batches of {MEMBERS}": calls * MEMBERS / spent["batches"],
    }


def _ping_pong(layer: Any, seconds: float) -> dict[str, float]:
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
    return {"ping-pong p50, µs": times["p50"], "ping-pong p99, µs": times["p99"]}


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
