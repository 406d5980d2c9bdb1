"""
``python -m benchmarks.figures``: draws the pictures of docs, and the rows of the README, from the results.

To be called in a checkout, after a benchmark has saved its results. The tables in the pages of docs, and the numbers
in their sentences, are read from the results when the site is built: see ``docs/extensions/figures.py``.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from .picture import Picture
from .published import Published
from .readme import Line, with_figures

ROOT = Path(__file__).parents[2]
PICTURES = Path("docs/pictures")
README = Path("README.rst")

_BETTER = "of rates more is better, of times less"
OURS = ("asgi_redis 2 hiredis", "asgi_redis 2 without hiredis")
PEERS = (
    "asgi_redis 1.4.3",
    "channels_redis one loop, hiredis",
    "channels_redis one loop, without",
    "channels_redis async_to_sync",
)
CALLS = (
    "send 100 B",
    "send 10 KB",
    "send 100 B, encrypted",
    "send 100 B, 8 threads",
    "receive 100 B, not blocking",
    "receive 100 B, blocking",
    "receive 10 KB, encrypted",
    "group send, 1 member",
    "group send, 100, own prefixes",
    "group send, 1,000, own prefixes",
    "group send, 1,000, one prefix",
    "group send, 1,000, one of them new",
    "group send, 1,000, all new",
    "ping-pong, 2 processes, p50",
    "idle, blocked in receive, CPU",
)
OUR_WORKER = ("workers threads",)
WORKERS = (
    *("dramatiq threads", "huey thread", "celery threads"),
    *("rq SimpleWorker", "Channels 4 sync", "Channels 4 async"),
)
_PEERS = {
    "asgi_redis 1.4.3": "asgi_redis 1.4.3",
    "channels_redis one loop, hiredis": "channels_redis",
    "channels_redis async_to_sync": "channels_redis, async_to_sync",
}
LINES = (
    Line("sends a second", "main/calls/send 100 B", OURS[0], _PEERS),
    Line("receives a second, blocking", "main/calls/receive 100 B, blocking", OURS[0], _PEERS),
    Line("sends a second to groups of 1,000", "main/calls/group send, 1,000, own prefixes", OURS[0], _PEERS),
    Line("µs there and back, two processes", "main/calls/ping-pong, 2 processes, p50", OURS[0], _PEERS),
    Line(
        "jobs a second, worker with 8 threads",
        "dispatch/thread, rate/no-op, 8 slots",
        OUR_WORKER[0],
        {name: name.partition(" ")[0] for name in WORKERS},
    ),
)


def drawn(published: Published, root: Path = ROOT) -> dict[Path, str]:
    """Return the files that the results make, by their paths in the checkout."""
    readme = (root / README).read_text(encoding="utf-8")
    calls = Picture(published.table("main/calls"), f"Calls of a layer: {_BETTER}", OURS, PEERS, CALLS)
    jobs = Picture(published.table("dispatch/thread, rate"), f"A worker: {_BETTER}", OUR_WORKER, WORKERS)
    return {
        PICTURES / "benchmarks.svg": str(calls),
        PICTURES / "benchmarks-worker.svg": str(jobs),
        README: with_figures(readme, LINES, published),
    }


def main() -> int:
    """Run the command; return the exit code."""
    argparse.ArgumentParser(prog="python -m benchmarks.figures", description=__doc__.splitlines()[1]).parse_args()
    for path, text in drawn(Published()).items():
        (ROOT / path).write_text(text, encoding="utf-8")
        print(path)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
