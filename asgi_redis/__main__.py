"""The command ``asgi-redis``."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from asgi_redis.exceptions import ChannelLayerError, MissingExtra
from asgi_redis.process import health


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; return its exit code: 1 for a failure, 2 for wrong arguments."""
    arguments = _parser().parse_args(argv)
    try:
        return _run(arguments)
    except (ChannelLayerError, OSError) as error:
        print(f"asgi-redis: {error}", file=sys.stderr)  # noqa: T201  a command
        return 1


def _run(arguments: argparse.Namespace) -> int:
    if arguments.subject == "health":
        return health.run(arguments)
    try:
        from asgi_redis.engine.stores.lmdb import commands
    except ModuleNotFoundError as error:
        if error.name != "lmdb":
            raise
        raise MissingExtra('the IPC stores need lmdb: pip install "asgi_redis[ipc]"') from error
    base = commands.trusted(arguments.path) if arguments.path else commands.default_base()
    if arguments.command == "list":
        return commands.list_stores(base)
    return commands.remove_stores(base, None if arguments.all else arguments.prefix, arguments.force)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="asgi-redis", description="Looks after workers and stores of asgi_redis.")
    subjects = parser.add_subparsers(dest="subject", required=True)
    health.add_arguments(
        subjects.add_parser(
            "health",
            help="tells by its heartbeat file whether a worker is healthy",
            description="Exits with 0 if the worker is healthy, and otherwise with 1 and the reason on stderr.",
        )
    )
    ipc = subjects.add_parser("ipc", help="the stores of IPCChannelLayer", description="The IPC stores of this user.")
    commands = ipc.add_subparsers(dest="command", required=True)
    listing = commands.add_parser("list", help="shows each store, what is in it, and which processes have it open")
    removing = commands.add_parser("remove", help="removes stores, with the messages and groups in them")
    which = removing.add_mutually_exclusive_group(required=True)
    which.add_argument("prefix", nargs="*", default=[], metavar="PREFIX", help="the prefix of a layer")
    which.add_argument("--all", action="store_true", help="all stores of this user")
    removing.add_argument("--force", action="store_true", help="also while processes have it open: they go on anew")
    for command in (listing, removing):
        command.add_argument("--path", type=Path, metavar="DIR", help="the layers' setting path, if they have it")
    return parser


if __name__ == "__main__":
    sys.exit(main())
