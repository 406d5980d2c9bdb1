"""The flags that ``runworker`` and ``manage.py runworker`` share. ``launcher`` acts on them."""

from __future__ import annotations

import argparse
import re
from typing import Any, Callable, TypeVar

from workers.asgi import DEFAULT_CHANNEL_LAYER

Number = TypeVar("Number", int, float)

# Beyond these a number is a mistake: no process has so many threads, and no timeout of the system is that long.
MAX_SLOTS = 100_000
MAX_THREADS = 10_000
MAX_PROCESSES = 256
MAX_SECONDS = 1_000_000.0
MAX_MESSAGES = 1_000_000_000_000
MAX_BYTES = 1 << 50

_UNITS = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30}


def add_worker_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds them to a parser."""
    parser.add_argument(
        "channels",
        metavar="CHANNEL",
        nargs="*",
        help="channels of the consumers in ASGI_APPLICATION, as in Channels 4, instead of a routing",
    )
    parser.add_argument(
        "--layer",
        metavar="ALIAS",
        default=DEFAULT_CHANNEL_LAYER,
        help="alias of the channel layer in CHANNEL_LAYERS (default: %(default)s); without Django, MODULE:OBJECT: a "
        "channel layer, or what returns one when it is called",
    )
    parser.add_argument(
        "--routing",
        metavar="MODULE.NAME",
        help="the channel routing; with Django, by default the ROUTING of the channel layer",
    )
    parser.add_argument(
        "--pool",
        action=_Slots,
        choices=("thread", "gevent"),
        default="thread",
        help="what runs the consumers: threads, or greenlets (default: %(default)s)",
    )
    parser.add_argument(
        "--concurrency",
        action=_Slots,
        metavar="N",
        type=_between(1, MAX_SLOTS, int),
        default=None,
        help="how many messages to work on at a time (default: 1 thread, or 100 greenlets)",
    )
    parser.add_argument(
        "--threads",
        action=_Slots,
        metavar="N",
        type=_between(1, MAX_THREADS, int),
        default=None,
        help="the same as --pool thread --concurrency N, as in Channels 1",
    )
    parser.add_argument(
        "--processes",
        metavar="N",
        type=_between(1, MAX_PROCESSES, int),
        default=1,
        help="how many worker processes to run, each with a pool of its own (default: %(default)s)",
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
        "--burst-timeout",
        metavar="SECONDS",
        type=_between(0.0, MAX_SECONDS, float),
        default=30.0,
        help="how long a burst waits for a Redis that does not answer (default: %(default)g; then it exits with 5)",
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
        type=_between(0.0, MAX_SECONDS, float),
        default=30.0,
        help="how long a stop waits for running consumers (default: %(default)g)",
    )
    parser.add_argument(
        "--disable-graceful-stop",
        action="store_true",
        help="do not wait for running consumers at all",
    )
    _add_operations(parser.add_argument_group("operations"))


def _add_operations(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--max-messages",
        metavar="N",
        type=_between(1, MAX_MESSAGES, int),
        help="stop after N messages, give or take a tenth, for a supervisor to start a new worker",
    )
    group.add_argument(
        "--max-memory",
        metavar="SIZE",
        type=_size,
        help="stop when the process takes more than SIZE, as in 512M, give or take a tenth",
    )
    group.add_argument(
        "--heartbeat-file",
        metavar="PATH",
        help="a file to touch twice a second for as long as messages are pulled",
    )
    group.add_argument(
        "--metrics-port",
        metavar="[HOST:]PORT",
        type=_address,
        help="serve metrics for Prometheus there (default: nowhere; HOST: 127.0.0.1)",
    )
    group.add_argument(
        "--soft-time-limit",
        metavar="SECONDS",
        type=_between(0.1, MAX_SECONDS, float),
        help="log what runs for longer, with its stack",
    )
    group.add_argument(
        "--reload",
        action="store_true",
        help="restart when code changes, for development",
    )


class _Slots(argparse.Action):
    """Stores a value, in any order of the flags that say how many slots there are, and of what."""

    def __call__(
        self, parser: argparse.ArgumentParser, namespace: argparse.Namespace, values: Any, option_string: Any = None
    ) -> None:
        setattr(namespace, self.dest, values)
        if namespace.threads and (namespace.concurrency or namespace.pool == "gevent"):
            parser.error("--threads N means --pool thread --concurrency N: give one or the other")


def _limit(text: str) -> tuple[str, int]:
    glob, _, number = text.rpartition("=")
    if not glob:
        raise argparse.ArgumentTypeError(f"CHANNEL=N is wanted, not {text!r}")
    return glob, _between(1, MAX_SLOTS, int)(number)


def _size(text: str) -> int:
    found = re.fullmatch(r"(\d{1,15}(?:\.\d{1,15})?)([KMG]?)", text, re.ASCII | re.IGNORECASE)
    size = int(float(found[1]) * _UNITS[found[2].upper()]) if found else 0
    if not 1 <= size <= MAX_BYTES:
        raise argparse.ArgumentTypeError(
            f"bytes, or a number with K, M or G as in 512M, up to {MAX_BYTES >> 30:,}G, are wanted, not {text!r}"
        )
    return size


def _address(text: str) -> tuple[str, int]:
    host, _, port = text.rpartition(":")
    # An IPv6 address comes in brackets.
    host = host.strip("[]") or "127.0.0.1"
    if not (re.fullmatch(r"\d{1,5}", port, re.ASCII) and int(port) < 1 << 16 and re.fullmatch(r"[\w.:%-]+", host)):
        raise argparse.ArgumentTypeError(f"PORT or HOST:PORT is wanted, with a PORT up to 65,535, not {text!r}")
    return host, int(port)


def _between(least: Number, most: Number, kind: Callable[[str], Number]) -> Callable[[str], Number]:
    def parse(text: str) -> Number:
        try:
            number = kind(text)
        except ValueError:
            number = None
        # Not "number < least", which a NaN would pass.
        if number is None or not least <= number <= most:
            raise argparse.ArgumentTypeError(f"a number from {least:g} to {most:,.0f} is wanted, not {text!r}")
        return number

    return parse
