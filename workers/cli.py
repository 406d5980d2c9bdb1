"""
``runworker``, with and without Django.

Exit codes: 0 stopped; 1 it cannot start with this configuration; 2 wrong flags; 3 consumers still ran at the
end of ``--shutdown-timeout``; 4 the worker itself has failed; 143 and 130 killed by a second SIGTERM or
SIGINT.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
from collections.abc import Sequence
from typing import Any

from workers.arguments import add_worker_arguments
from workers.exceptions import ConfigurationError
from workers.launcher import launch
from workers.layers import DEFAULT_CHANNEL_LAYER, register_layer
from workers.routing import Router
from workers.worker import ExitCode


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command with ``argv``, by default the process's own; returns the exit code."""
    parser = _parser()
    options = vars(parser.parse_args(argv))
    _check(parser, options)
    # As with ``python -m``: the project is where the command is called.
    if "" not in sys.path and os.getcwd() not in sys.path:  # noqa: PTH109 - entries of sys.path are strings
        sys.path.insert(0, os.getcwd())  # noqa: PTH109
    try:
        return _launch_plain(options) if options["layer_url"] else _launch_in_project(options)
    except ConfigurationError as error:
        sys.stderr.write(f"{parser.prog}: error: {error}\n")
        return ExitCode.CONFIGURATION
    except KeyboardInterrupt:
        # Before the worker has its handlers in place; there is nothing to stop yet.
        return 128 + signal.SIGINT


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="runworker",
        allow_abbrev=False,
        description="Runs the consumers of a channel routing.",
        epilog="Exit codes: 0 stopped, 1 configuration, 2 usage, 3 shutdown timed out, 4 failed, "
        "128+n killed by signal n.",
    )
    parser.add_argument(
        "--layer-url",
        metavar="URL",
        action="append",
        help="Redis to work on without Django settings; once for each shard, in the same order everywhere",
    )
    parser.add_argument("--prefix", help="key prefix on the Redis of --layer-url (default: asgi)")
    parser.add_argument("--settings", metavar="MODULE", help="Django settings (default: DJANGO_SETTINGS_MODULE)")
    parser.add_argument(
        "-v",
        "--verbosity",
        type=int,
        choices=range(4),
        default=1,
        help="0 warnings, 1 start and stop, 2 each message (default: %(default)s)",
    )
    add_worker_arguments(parser)
    return parser


def _check(parser: argparse.ArgumentParser, options: dict[str, Any]) -> None:
    if options["layer_url"]:
        if options["settings"]:
            parser.error("--layer-url is for working without Django settings: give one of it and --settings")
        if options["layer"] != DEFAULT_CHANNEL_LAYER:
            parser.error("--layer names a channel layer of Django's settings: give one of it and --layer-url")
        if options["channels"]:
            parser.error(
                "channels are those of an ASGI application in Django's settings: with --layer-url, leave "
                "them to the --routing"
            )
        if not options["routing"]:
            parser.error("--layer-url needs a --routing, as module.name")
    elif options["prefix"] is not None:
        parser.error("--prefix goes with --layer-url; with Django, it belongs into the CONFIG of the channel layer")
    elif not (options["settings"] or os.environ.get("DJANGO_SETTINGS_MODULE")):
        parser.error("either --layer-url and --routing, or Django's --settings, are needed")


def _launch_plain(options: dict[str, Any]) -> int:
    from asgi_redis import RedisChannelLayer  # here, because with Django the layer is the settings' choice

    prefix = {} if options["prefix"] is None else {"prefix": options["prefix"]}
    try:
        channel_layer = RedisChannelLayer(hosts=options["layer_url"], **prefix)
    except (TypeError, ValueError) as error:
        raise ConfigurationError(str(error)) from error
    register_layer(DEFAULT_CHANNEL_LAYER, channel_layer)
    return launch(channel_layer, Router(options["routing"]), options)


def _launch_in_project(options: dict[str, Any]) -> int:
    if options["settings"]:
        os.environ["DJANGO_SETTINGS_MODULE"] = options["settings"]
    try:
        import django
    except ImportError as error:
        raise ConfigurationError(
            'Django is not installed: pip install "asgi_redis[django]", or use --layer-url'
        ) from error
    django.setup()
    from workers.django import launch_in_project  # here, because it needs Django and its settings

    return launch_in_project(options)
