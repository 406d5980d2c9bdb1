"""The command ``ipc``: lists and removes the stores of ``IPCChannelLayer``."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from asgi_redis.exceptions import MissingExtra


def add_to(subjects: Any) -> None:
    """Add the command to those of ``asgi-redis``."""
    ipc = subjects.add_parser("ipc", help="the stores of IPCChannelLayer", description="The IPC stores of this user.")
    commands = ipc.add_subparsers(dest="command", required=True)
    listing = commands.add_parser("list", help="shows each store, what is in it, and which processes have it open")
    removing = commands.add_parser("remove", help="removes stores, with the messages and groups in them")
    which = removing.add_mutually_exclusive_group(required=True)
    which.add_argument("prefix", nargs="*", default=[], metavar="PREFIX", help="prefix of a layer")
    which.add_argument("--all", action="store_true", help="all stores of this user")
    removing.add_argument(
        "--force", action="store_true", help="also while processes have a store open; they make a new one"
    )
    for command in (listing, removing):
        command.add_argument(
            "--path", type=Path, metavar="DIR", help="path of the stores, if the layers have that option"
        )
    ipc.set_defaults(run=_run)


def _run(arguments: argparse.Namespace) -> int:
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
