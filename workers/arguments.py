"""The flags that ``runworker`` and ``manage.py runworker`` share. ``launcher`` acts on them."""

from __future__ import annotations

import argparse
from typing import Callable, TypeVar

from workers.layers import DEFAULT_CHANNEL_LAYER

Number = TypeVar("Number", int, float)


def add_worker_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds them to a parser."""
    parser.add_argument(
        "--layer",
        metavar="ALIAS",
        default=DEFAULT_CHANNEL_LAYER,
        help="alias of the channel layer in CHANNEL_LAYERS (default: %(default)s)",
    )
    parser.add_argument(
        "--routing",
        metavar="MODULE.NAME",
        help="the channel routing; with Django, by default the ROUTING of the channel layer",
    )
    parser.add_argument(
        "--pool",
        choices=("thread", "gevent"),
        default="thread",
        help="what runs the consumers: threads, or greenlets (default: %(default)s)",
    )
    parser.add_argument(
        "--concurrency",
        metavar="N",
        type=_at_least(1, int),
        default=None,
        help="how many messages to work on at a time (default: 1 thread, or 100 greenlets)",
    )
    parser.add_argument(
        "--threads",
        metavar="N",
        type=_at_least(1, int),
        default=None,
        help="the same as --pool thread --concurrency N, as in Channels 1",
    )
    parser.add_argument(
        "--limit",
        metavar="CHANNEL=N",
        type=_limit,
        action="append",
        default=[],
        help="work on N messages at most of each channel that matches at a time; may be given several times",
    )
    parser.add_argument(
        "--burst",
        action="store_true",
        help="stop when the channels are empty",
    )
    parser.add_argument(
        "--only-channels",
        metavar="GLOB",
        action="append",
        help="listen only on channels that match; may be given several times",
    )
    parser.add_argument(
        "--exclude-channels",
        metavar="GLOB",
        action="append",
        help="do not listen on channels that match; may be given several times",
    )
    parser.add_argument(
        "--shutdown-timeout",
        metavar="SECONDS",
        type=_at_least(0.0, float),
        default=30.0,
        help="how long a stop waits for running consumers (default: %(default)g)",
    )
    parser.add_argument(
        "--disable-graceful-stop",
        action="store_true",
        help="do not wait for running consumers at all",
    )


def _limit(text: str) -> tuple[str, int]:
    glob, _, number = text.rpartition("=")
    if not glob or not number.isdecimal() or int(number) < 1:
        raise argparse.ArgumentTypeError(f"CHANNEL=N with N of at least 1 is wanted, not {text!r}")
    return glob, int(number)


def _at_least(least: Number, kind: Callable[[str], Number]) -> Callable[[str], Number]:
    def parse(text: str) -> Number:
        try:
            number = kind(text)
        except ValueError:
            number = None
        # Not "number < least", which a NaN would pass.
        if number is None or not number >= least:
            raise argparse.ArgumentTypeError(f"a number of at least {least:g} is wanted, not {text!r}")
        return number

    return parse
