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
from benchmarks.command import add_save, check_save, interleaved
from benchmarks.record import Conditions, Line, Measured, described, save
from benchmarks.table import number

SUBJECTS = ("ours", "channels_redis")
HANG_SECONDS = 60.0
MakeLayer = Callable[[str, str], Any]
"""Called with one of ``SUBJECTS`` and the URL of a Redis."""
Figure = tuple[str, Callable[..., Awaitable[Any]], tuple[Any, ...]]
"""Units, the coroutine function that measures, and its arguments after layer and seconds."""


def command(
    module: str,
    make_layer: MakeLayer,
    figures: dict[str, Figure],
    targets: Mapping[str, float] | None = None,
    argv: list[str] | None = None,
    title: str = "asgi_redis.aio beside channels_redis",
) -> int:
    """Run the command ``python -m module``; return the exit code."""
    arguments = _parser(module).parse_args(argv)
    check_save(arguments, "only")
    if arguments.one:
        print(json.dumps(_measure(make_layer, figures, *arguments.one, arguments.seconds)))
        return 0
    runs, seconds = (1, 0.1) if arguments.quick else (arguments.runs, arguments.seconds)
    names = [name for name in figures if arguments.only in name]
    conditions = Conditions(module, sys.argv[1:] if argv is None else argv)
    samples = _samples(module, names, runs, seconds)
    how = f"{interleaved(runs, 'run')}, {seconds} s a figure, each in a fresh process with one event loop"
    ended = conditions.end(how)
    print("\n".join(described(ended)), end="\n\n")
    print(f"{'':52}{'ours':>12}{'channels_redis':>16}{'times':>8}{'target':>12}")
    lines = []
    for name in names:
        for position, unit in enumerate(figures[name][0].split("|")):
            values = [_median(samples[name, subject], position) for subject in SUBJECTS]
            times = _times(unit, *values)
            target = (targets or {}).get(name) if position == 0 else None
            verdict = "" if target is None or times is None else f"≥ {target:g} {'yes' if times >= target else 'NO'}"
            shown = f"{number(values[0]):>12}{number(values[1]):>16}{number(times):>8}{verdict:>12}"
            print(f"{name + ', ' + unit:52}{shown}".rstrip())
            lines.append(Line.of(name, unit, [*values, times]))
    if arguments.save:
        table = Measured(title, ["asgi_redis", "channels_redis", "times"], lines)
        save(arguments.save, module.rpartition(".")[2], ended, {"rates": table})
    return 0


def _parser(module: str) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog=f"python -m {module}", description="A layer of asgi_redis.aio compared with channels_redis."
    )
    parser.add_argument("--quick", action="store_true", help="one short run, to see that everything works")
    parser.add_argument("--runs", type=int, default=3, metavar="N")
    parser.add_argument("--seconds", type=float, default=0.5, metavar="S", help="for each figure")
    parser.add_argument("--only", default="", metavar="TEXT", help="the figures with this in their name")
    parser.add_argument("--one", nargs=3, metavar=("FIGURE", "SUBJECT", "URL"), help=argparse.SUPPRESS)
    add_save(parser)
    return parser


def _samples(module: str, names: list[str], runs: int, seconds: float) -> dict[tuple[str, str], list[list[float]]]:
    samples: dict[tuple[str, str], list[list[float]]] = {(name, each): [] for name in names for each in SUBJECTS}
    with RedisServer() as server:
        for run in range(runs):
            for name in names:
                for subject in SUBJECTS[:: 1 if run % 2 else -1]:
                    samples[name, subject] += _in_process(module, name, subject, server.url, seconds)
    return samples


def _median(samples: list[list[float]], position: int) -> float | None:
    """Return the median of a figure, or None where the subject did not end."""
    return statistics.median(sample[position] for sample in samples) if samples else None


def _times(unit: str, ours: float | None, stock: float | None) -> float | None:
    if ours is None or stock is None:
        return None
    return ours / stock if unit.endswith("/s") else stock / ours


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
