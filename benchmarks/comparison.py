"""
The command of benchmarks that compare asynchronous layers with channels_redis.

Each figure comes from a fresh process, in one event loop; within a run the layers take turns. A target says how many
times as fast as channels_redis ours is to be; of a figure of several units the first has it.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import subprocess
import sys
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import redis

from asgi_redis.embedded import RedisServer
from benchmarks.table import number

SUBJECTS = ("ours", "channels_redis")
HANG_SECONDS = 60.0
MakeLayer = Callable[[str, str], Any]
"""Called with one of ``SUBJECTS`` and the URL of a Redis."""
Figure = tuple[str, Callable[..., Awaitable[Any]], tuple[Any, ...]]
"""Units, the coroutine function that measures, and its arguments after layer and seconds."""


def command(
    module: str, make_layer: MakeLayer, figures: dict[str, Figure], targets: Mapping[str, float] | None = None
) -> int:
    """Run the command ``python -m module``; return the exit code."""
    parser = argparse.ArgumentParser(
        prog=f"python -m {module}", description="A layer of asgi_redis.aio compared with channels_redis."
    )
    parser.add_argument("--quick", action="store_true", help="one short run, to see that everything works")
    parser.add_argument("--runs", type=int, default=3, metavar="N")
    parser.add_argument("--seconds", type=float, default=0.5, metavar="S", help="for each figure")
    parser.add_argument("--only", default="", metavar="TEXT", help="the figures with this in their name")
    parser.add_argument("--one", nargs=3, metavar=("FIGURE", "SUBJECT", "URL"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.one:
        print(json.dumps(_measure(make_layer, figures, *arguments.one, arguments.seconds)))
        return 0
    runs, seconds = (1, 0.1) if arguments.quick else (arguments.runs, arguments.seconds)
    names = [name for name in figures if arguments.only in name]
    samples: dict[tuple[str, str], list[list[float]]] = {(name, each): [] for name in names for each in SUBJECTS}
    with RedisServer() as server:
        for run in range(runs):
            for name in names:
                for subject in SUBJECTS[:: 1 if run % 2 else -1]:
                    samples[name, subject] += _in_process(module, name, subject, server.url, seconds)
    print(f"Medians of {runs} interleaved runs, {seconds} s a figure; Python {sys.version.split()[0]}.\n")
    print(f"{'':52}{'ours':>12}{'channels_redis':>16}{'times':>8}{'target':>12}")
    for name in names:
        hanging = [subject for subject in SUBJECTS if not samples[name, subject]]
        if hanging:
            print(f"{name + ', ' + ' and '.join(hanging)} did not end")
            continue
        for position, unit in enumerate(figures[name][0].split("|")):
            ours, stock = (
                statistics.median(sample[position] for sample in samples[name, subject]) for subject in SUBJECTS
            )
            times = ours / stock if unit.endswith("/s") else stock / ours
            target = (targets or {}).get(name) if position == 0 else None
            verdict = "" if target is None else f"≥ {target:g} {'yes' if times >= target else 'NO'}"
            print(f"{name + ', ' + unit:52}{number(ours):>12}{number(stock):>16}{times:8.2f}{verdict:>12}".rstrip())
    return 0


def _in_process(module: str, name: str, subject: str, url: str, seconds: float) -> list[list[float]]:
    """Return one sample, or none when the subject hangs: channels_redis does with many waiting tasks."""
    command = [sys.executable, "-m", module, "--seconds", str(seconds), "--one", name, subject, url]
    try:
        ended = subprocess.run(command, capture_output=True, text=True, timeout=HANG_SECONDS)
    except subprocess.TimeoutExpired:
        return []
    if ended.returncode:
        raise RuntimeError(f"{name}, {subject}:\n{ended.stderr[-2000:]}")
    figures: list[float] = json.loads(ended.stdout)
    return [figures]


def _measure(
    make_layer: MakeLayer, figures: dict[str, Figure], name: str, subject: str, url: str, seconds: float
) -> list[float]:
    layer = make_layer(subject, url)
    with redis.Redis.from_url(url) as client:
        client.flushall()

    async def run() -> Any:
        try:
            return await figures[name][1](layer, seconds, *figures[name][2])
        finally:
            await layer.close_pools()

    measured = asyncio.run(run())
    return measured if isinstance(measured, list) else [measured]
