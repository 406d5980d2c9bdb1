"""The command ``asgi-redis health``, for probes: it reads a heartbeat file."""

from __future__ import annotations

import argparse
import sys
from typing import Any

from asgi_redis.process.heartbeat import fault

DEFAULT_AGE_SECONDS = 30.0
# Time for two heartbeats, and for the fraction of a second that some file systems cut off.
LEAST_AGE_SECONDS = 2.0
LONGEST_AGE_SECONDS = 1_000_000.0


def add_to(subjects: Any) -> None:
    """Add the command to those of ``asgi-redis``."""
    parser = subjects.add_parser(
        "health",
        help="tells by its heartbeat file whether a worker is healthy",
        description="Exits with 0 if the worker is healthy, and otherwise with 1 and the reason on stderr.",
    )
    parser.add_argument("--heartbeat", required=True, metavar="FILE", help="the --heartbeat-file of the worker")
    parser.add_argument(
        "--max-age",
        type=_seconds,
        default=DEFAULT_AGE_SECONDS,
        metavar="SECONDS",
        help="how old its last heartbeat may be (default: %(default)g)",
    )
    parser.add_argument("--ready", action="store_true", help="fail also if Redis does not answer the worker")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Return 0 if the worker is healthy, and else 1; then stderr has the reason."""
    reason = fault(arguments.heartbeat, arguments.max_age, arguments.ready)
    if reason is None:
        return 0
    sys.stderr.write(f"asgi-redis: {reason}\n")
    return 1


def _seconds(text: str) -> float:
    wanted = f"a number from {LEAST_AGE_SECONDS:g} to {LONGEST_AGE_SECONDS:,.0f}"
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not LEAST_AGE_SECONDS <= seconds <= LONGEST_AGE_SECONDS:
        raise argparse.ArgumentTypeError(f"{wanted} is wanted, not {text!r}")
    return seconds
