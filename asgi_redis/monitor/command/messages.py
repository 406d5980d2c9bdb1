"""The commands for the messages of a channel: peek, purge, send."""

from __future__ import annotations

import argparse
import json
import sys
from typing import Any

from asgi_redis.exceptions import WrongArguments
from asgi_redis.monitor.cells import duration, size
from asgi_redis.monitor.command.layer import add_layer_flags, inspector_of, layer_from
from asgi_redis.monitor.command.output import add_json_flag, as_json, complain, show, show_json

_LIMIT = 10


def add_to(subjects: Any) -> None:
    """Add the commands to those of ``asgi-redis``."""
    peek = subjects.add_parser("peek", help="the oldest messages of a channel, which stay there")
    peek.add_argument("--limit", type=int, metavar="N", default=_LIMIT, help="show at most N (default: %(default)s)")
    peek.add_argument(
        "--content", action="store_true", help="show the content of the messages, too; it may be private"
    )
    purge = subjects.add_parser("purge", help="deletes the messages of a channel")
    purge.add_argument("--yes", action="store_true", help="do not ask for a confirmation")
    send = subjects.add_parser("send", help="sends a message to a channel")
    for parser, run, text in (
        (peek, _peek, "a list, an object for each message"),
        (purge, _purge, "an object"),
        (send, _send, "an object"),
    ):
        parser.add_argument("channel", metavar="CHANNEL", help="name of the channel")
        add_json_flag(parser, text)
        add_layer_flags(parser)
        parser.set_defaults(run=run)
    send.add_argument(
        "message", metavar="JSON", help="the message, a JSON object; - reads it from the standard input"
    )


def _peek(arguments: argparse.Namespace) -> int:
    if arguments.limit < 1:
        raise WrongArguments(f"--limit must be at least 1, not {arguments.limit}")
    with layer_from(arguments) as layer:
        layer.valid_channel_name(arguments.channel)
        messages = inspector_of(layer).peek(arguments.channel, arguments.limit, arguments.content)
    rows = [message._asdict() for message in messages]
    if not arguments.content:
        for row in rows:
            del row["content"]
    if arguments.json:
        show_json(rows)
        return 0
    if not rows:
        show(f"no messages wait in {arguments.channel}")
    for row in rows:
        line = f"{duration(row['age']):>8}  {size(row['size']):>8}  {row['channel']}"
        show(f"{line}  {as_json(row['content'])}" if arguments.content else line)
    return 0


def _purge(arguments: argparse.Namespace) -> int:
    asks = not arguments.yes
    if asks and not sys.stdin.isatty():
        raise WrongArguments("purge deletes messages: confirm it with --yes where there is no terminal to ask")
    with layer_from(arguments) as layer:
        layer.valid_channel_name(arguments.channel)
        inspector = inspector_of(layer)
        if asks:
            sys.stderr.write(f"Delete the messages of {arguments.channel} on {layer}? [y/N] ")
            sys.stderr.flush()
            if sys.stdin.readline().strip().lower() not in ("y", "yes"):
                complain("nothing was deleted")
                return 1
        purged = inspector.purge(arguments.channel)
    if arguments.json:
        show_json({"channel": arguments.channel, "purged": purged})
    else:
        show(f"purged {purged:,} message{'' if purged == 1 else 's'} of {arguments.channel}")
    return 0


def _send(arguments: argparse.Namespace) -> int:
    text = sys.stdin.read() if arguments.message == "-" else arguments.message
    try:
        message = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise WrongArguments(f"the message must be JSON: {error}") from error
    if not isinstance(message, dict):
        raise WrongArguments(f'the message must be a JSON object such as {{"id": 1}}, not {type(message).__name__}')
    with layer_from(arguments) as layer:
        layer.send(arguments.channel, message)
    if arguments.json:
        show_json({"channel": arguments.channel, "sent": 1})
    else:
        show(f"sent to {arguments.channel}")
    return 0
