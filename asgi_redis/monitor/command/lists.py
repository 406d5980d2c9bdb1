"""The commands that list: channels, groups, workers, delayed."""

from __future__ import annotations

import argparse
import threading
import time
from typing import Any

from redis.exceptions import RedisError

from asgi_redis.layers.base import BaseChannelLayer
from asgi_redis.monitor.calls import BudgetedCalls
from asgi_redis.monitor.channels import ChannelTable
from asgi_redis.monitor.command.layer import add_layer_flags, inspector_of, layer_from
from asgi_redis.monitor.command.output import add_json_flag, complain, output_width, show, show_json
from asgi_redis.monitor.monitor import Monitor
from asgi_redis.monitor.readers import Readers, count_processes
from asgi_redis.monitor.snapshot import Row, Snapshot
from asgi_redis.monitor.tables import CHANNELS, DELAYED, GROUPS, WORKERS, Table, lines, process_rows

_LIMIT = 50
_SWEEP_SECONDS = 86400.0  # a sweep takes as long as it takes


def add_to(subjects: Any) -> None:
    """Add the commands to those of ``asgi-redis``."""
    channels = subjects.add_parser("channels", help="the channels with the most messages, or those that are named")
    channels.add_argument("names", nargs="*", metavar="CHANNEL", help="look up only these channels, at once")
    groups = subjects.add_parser("groups", help="the groups with the most members, or the members of those named")
    groups.add_argument("names", nargs="*", metavar="GROUP", help="list the channels of these groups")
    for parser, run in ((channels, _channels), (groups, _groups)):
        parser.add_argument(
            "--limit", type=int, metavar="N", default=_LIMIT, help="show at most N (default: %(default)s)"
        )
        add_json_flag(parser, "a list, an object for each")
        add_layer_flags(parser)
        parser.set_defaults(run=run)
    workers = subjects.add_parser("workers", help="the processes that work on the layer, and what they run")
    add_json_flag(workers, "a list, an object for each process")
    add_layer_flags(workers)
    workers.set_defaults(run=_workers)
    delayed = subjects.add_parser("delayed", help="the messages that are to be sent later")
    delayed.add_argument(
        "--limit", type=int, metavar="N", default=_LIMIT, help="show at most N (default: %(default)s)"
    )
    add_json_flag(delayed, "an object")
    add_layer_flags(delayed)
    delayed.set_defaults(run=_delayed)


def complete_picture(layer: BaseChannelLayer) -> Snapshot:
    """Return a snapshot of all keys, or one with an error."""
    with Monitor(layer, interval=1.0) as monitor:
        return monitor.wait(lambda picture: picture["complete"] or bool(picture["error"]), _SWEEP_SECONDS)


def _channels(arguments: argparse.Namespace) -> int:
    with layer_from(arguments) as layer:
        if arguments.names:
            return _print(CHANNELS, _of_channels(layer, arguments.names), "", arguments)
        inspector_of(layer)
        picture = complete_picture(layer)
        return _print(CHANNELS, picture["channels"], picture["error"], arguments)


def _of_channels(layer: BaseChannelLayer, names: list[str]) -> list[Row]:
    """Return the rows of some channels, in the order of their names."""
    for name in names:
        layer.valid_channel_name(name)
    queues = dict.fromkeys(map(layer.non_local_name, names))
    calls = BudgetedCalls(threading.Event())
    readers = Readers(layer.registry.processes()) if layer.registry else None
    rows = ChannelTable(layer, calls, len(queues)).rows(dict.fromkeys(queues, 0), readers)
    error = calls.take_errors()
    if error:
        raise RedisError(error)
    return sorted(rows, key=lambda row: [*queues].index(row["channel"]))


def _groups(arguments: argparse.Namespace) -> int:
    with layer_from(arguments) as layer:
        if not arguments.names:
            inspector_of(layer)
            picture = complete_picture(layer)
            return _print(GROUPS, picture["groups"], picture["error"], arguments)
        rows: list[Row] = []
        for group in arguments.names:
            channels = sorted(layer.group_channels(group))
            row = {"group": group, "members": len(channels), "processes": count_processes(channels)}
            rows.append({**row, "channels": channels})
        return _print(GROUPS._replace(details=_members), rows, "", arguments)


def _members(row: Row) -> list[str]:
    return [f"    {channel}" for channel in row["channels"]]


def _workers(arguments: argparse.Namespace) -> int:
    with layer_from(arguments) as layer:
        if layer.registry is None:
            complain(f"{type(layer).__name__} has no list of its processes")
            return 1
        rows = [{**entry.report, "process": entry.process, "age": entry.age} for entry in layer.registry.processes()]
        arguments.limit = len(rows)
        return _print(WORKERS, rows if arguments.json else process_rows(rows, time.time()), "", arguments)


def _delayed(arguments: argparse.Namespace) -> int:
    with layer_from(arguments) as layer:
        facts = inspector_of(layer).delayed(max(0, arguments.limit))
    first = [{"channel": channel, "due": due} for channel, due in facts.first]
    if arguments.json:
        show_json({**facts._asdict(), "first": first})
        return 0
    show(f"{facts.messages:,} messages wait for their time, {facts.waiting_for_room:,} for room in their channels")
    return _print(DELAYED, first, "", arguments) if first else 0


def _print(table: Table, rows: list[Row], error: str, arguments: argparse.Namespace) -> int:
    rows = rows[: max(0, arguments.limit)]
    if arguments.json:
        show_json(rows)
    elif rows or not error:
        show("\n".join(line.text for line in lines(table, rows, output_width())))
    if error:
        complain(error)
    return 1 if error else 0
