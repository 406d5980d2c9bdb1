"""The command ``monitor``: a live view of a layer, one picture of it, or a page."""

from __future__ import annotations

import argparse
import sys
from typing import Any

from asgi_redis.exceptions import MissingExtra, WrongArguments
from asgi_redis.layers.base import BaseChannelLayer
from asgi_redis.monitor.command.layer import add_layer_flags, layer_from
from asgi_redis.monitor.command.output import complain, output_width, show, show_json
from asgi_redis.monitor.command.web import add_web_flags, check_web_flags, serve
from asgi_redis.monitor.monitor import DEFAULT_INTERVAL_SECONDS, Monitor
from asgi_redis.monitor.snapshot import Snapshot
from asgi_redis.monitor.summary import summary
from asgi_redis.monitor.tables import TABLES, lines

_SHORTEST_SECONDS = 0.1
_LONGEST_SECONDS = 3600.0
_SWEEP_SECONDS = 86400.0  # a sweep takes as long as it takes


def add_to(subjects: Any) -> None:
    """Add the command to those of ``asgi-redis``."""
    parser = subjects.add_parser(
        "monitor",
        help="a live view of servers, channels, groups, delayed messages and workers",
        description="A live view in the terminal, with --web as a page, or with --once or --json one picture: then "
        "it exits with 1 if a part of the picture could not be had.",
    )
    parser.add_argument("--once", action="store_true", help="print one picture as text, and end")
    parser.add_argument("--json", action="store_true", help="print one picture as JSON, and end")
    parser.add_argument(
        "--interval",
        type=_seconds,
        default=DEFAULT_INTERVAL_SECONDS,
        metavar="SECONDS",
        help="time between two pictures, at least (default: %(default)g)",
    )
    add_web_flags(parser)
    add_layer_flags(parser)
    parser.set_defaults(run=_run)


def _run(arguments: argparse.Namespace) -> int:
    check_web_flags(arguments)
    if arguments.web:
        with layer_from(arguments) as layer:
            return serve(layer, arguments)
    if arguments.once or arguments.json:
        with layer_from(arguments) as layer:
            return _print(_picture_with_rates(layer, arguments.interval), arguments.json)
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise WrongArguments(
            "the live view needs a terminal: elsewhere --once and --json print one picture, and --web serves a page"
        )
    try:
        from asgi_redis.monitor.terminal.live import watch
    except ModuleNotFoundError as error:
        if error.name is None or error.name.partition(".")[0] != "rich":
            raise
        raise MissingExtra('the live view needs rich: pip install "asgi_redis[monitor]"; --once does not') from error
    with layer_from(arguments) as layer, Monitor(layer, arguments.interval) as monitor:
        return watch(monitor)


def _picture_with_rates(layer: BaseChannelLayer, interval: float) -> Snapshot:
    """Return the first picture after two sweeps, or one with an error."""

    def ready(picture: Snapshot) -> bool:
        totals = picture["totals"]
        has_rates = totals.get("in_per_second") is not None or "messages_count" not in totals
        return bool(picture["error"]) or (picture["complete"] and has_rates)

    with Monitor(layer, interval) as monitor:
        return monitor.wait(ready, _SWEEP_SECONDS)


def _print(picture: Snapshot, as_json: bool) -> int:
    if as_json:
        show_json(picture)
    else:
        parts = ["\n".join(summary(picture))]
        for table in TABLES:
            rows = table.rows(picture)
            if rows:
                parts.append("\n".join([table.title, *(line.text for line in lines(table, rows, output_width()))]))
        show("\n\n".join(parts))
    if picture["error"]:
        complain(picture["error"])
        return 1
    return 0


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not _SHORTEST_SECONDS <= seconds <= _LONGEST_SECONDS:
        wanted = f"a number from {_SHORTEST_SECONDS:g} to {_LONGEST_SECONDS:,.0f}"
        raise argparse.ArgumentTypeError(f"{wanted} is wanted, not {text!r}")
    return seconds
