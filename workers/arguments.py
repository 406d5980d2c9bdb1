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
        "--threads",
        metavar="N",
        type=_at_least(1, int),
        default=1,
        help="how many messages to work on at a time, each in a thread (default: %(default)s)",
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
