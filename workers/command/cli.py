"""
``runworker``, with and without Django.

Exit codes: 0 stopped; 1 it cannot start with this configuration; 2 wrong flags; 3 consumers still ran at the
end of ``--shutdown-timeout``; 4 the worker itself has failed; 5 Redis did not answer a ``--burst``; 143 and 130
killed by a second SIGTERM or SIGINT.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Callable

from asgi_redis.layers.base import BaseChannelLayer
from workers.asgi import DEFAULT_CHANNEL_LAYER, layer_from_path, register_layer
from workers.command import supervisor
from workers.command.arguments import add_worker_arguments
from workers.command.launcher import launch
from workers.command.starting import when_served
from workers.exceptions import ConfigurationError
from workers.importing import reason
from workers.routing import Router
from workers.runtime.stopping import ExitCode

URL_VARIABLE = "ASGI_REDIS_URL"


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command with ``argv``, by default the process's own; returns the exit code."""
    parser = _parser()
    options = vars(parser.parse_args(argv))
    _check(parser, options)
    # As with ``python -m``: the project is where the command is called.
    if "" not in sys.path and os.getcwd() not in sys.path:  # noqa: PTH109 - entries of sys.path are strings
        sys.path.insert(0, os.getcwd())  # noqa: PTH109
    try:
        if supervisor.is_wanted(options):
            return _supervise(options)
        return _launch_plain(options) if _is_plain(options) else _launch_in_project(options)
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
        "5 a burst without Redis, 128+n killed by signal n.",
    )
    parser.add_argument(
        "--layer-url",
        metavar="URL",
        action="append",
        help="Redis to work on without Django settings; once for each shard, in the same order everywhere. Where "
        "there are no settings: the URLs in the environment variable ASGI_REDIS_URL, with spaces between",
    )
    parser.add_argument(
        "--layer-url-file",
        metavar="PATH",
        help="a file with the URLs, for a password is seen on a command line",
    )
    parser.add_argument("--prefix", help="key prefix on the Redis of those URLs (default: asgi)")
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
    if _is_plain(options):
        given = [
            f"--{name}" for name in ("layer-url", "layer-url-file", "settings") if options[name.replace("-", "_")]
        ]
        if options["layer"] != DEFAULT_CHANNEL_LAYER:
            given.append("--layer")
        if len(given) > 1:
            parser.error(f"{' and '.join(given)} each say which channel layer is meant: give one of them")
        if given == ["--layer"] and not _is_object(options):
            parser.error("--layer ALIAS names a channel layer of Django's --settings, and there are none")
        if options["channels"]:
            parser.error(
                "channels are those of an ASGI application in Django's settings: without, leave them to the --routing"
            )
        if not options["routing"]:
            parser.error("without Django's settings a --routing is needed, as module.name")
    elif not _names_settings(options):
        parser.error("Django's --settings are needed, or else a --routing and --layer-url, or --layer MODULE:OBJECT")
    if options["prefix"] is not None and (_is_object(options) or not _is_plain(options)):
        parser.error("--prefix goes with --layer-url; otherwise it is a setting of the channel layer")


def _is_object(options: dict[str, Any]) -> bool:
    return ":" in options["layer"]


def _names_settings(options: dict[str, Any]) -> bool:
    return bool(options["settings"] or os.environ.get("DJANGO_SETTINGS_MODULE"))


def _is_plain(options: dict[str, Any]) -> bool:
    """Whether the channel layer is not one of Django's settings."""
    given = options["layer_url"] or options["layer_url_file"] or _is_object(options)
    return bool(given) or (not _names_settings(options) and bool(os.environ.get(URL_VARIABLE)))


def _launch_plain(options: dict[str, Any]) -> int:
    made = when_served(lambda: _plain_layer(options), options)
    if made is None:
        return ExitCode.CLEAN
    register_layer(DEFAULT_CHANNEL_LAYER, made)
    return launch(made, Router(options["routing"]), options)


def _plain_layer(options: dict[str, Any]) -> BaseChannelLayer:
    if _is_object(options):
        return layer_from_path(options["layer"])
    from asgi_redis import RedisChannelLayer  # here, because the layer may be any other

    prefix = {} if options["prefix"] is None else {"prefix": options["prefix"]}
    try:
        return RedisChannelLayer(hosts=_urls(options), **prefix)
    except (TypeError, ValueError) as error:
        raise ConfigurationError(str(error)) from error


def _urls(options: dict[str, Any]) -> list[str]:
    urls: list[str] | None = options["layer_url"]
    if urls:
        return urls
    path = options["layer_url_file"]
    if not path:
        return os.environ[URL_VARIABLE].split()
    try:
        urls = Path(path).read_text().split()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"cannot read the --layer-url-file: {error}") from error
    if not urls:
        raise ConfigurationError(f"the --layer-url-file {path} is empty: a URL for each shard is wanted")
    return urls


def _supervise(options: dict[str, Any]) -> int:
    if not _is_plain(options):
        _in_project(options, _configure_logging)
    return supervisor.supervise(options)


def _configure_logging() -> None:
    """Does the part of ``django.setup`` that the log is."""
    from django.conf import settings
    from django.utils.log import configure_logging

    configure_logging(settings.LOGGING_CONFIG, settings.LOGGING)


def _launch_in_project(options: dict[str, Any]) -> int:
    _in_project(options, _set_up)
    from workers.compat.django import launch_in_project  # here, because it needs Django and its settings

    return launch_in_project(options)


def _set_up() -> None:
    import django

    django.setup()


def _in_project(options: dict[str, Any], set_up: Callable[[], None]) -> None:
    if options["settings"]:
        os.environ["DJANGO_SETTINGS_MODULE"] = options["settings"]
    if importlib.util.find_spec("django") is None:
        raise ConfigurationError('Django is not installed: pip install "asgi_redis[django]", or use --layer-url')
    try:
        set_up()
    except Exception as error:
        names = os.environ["DJANGO_SETTINGS_MODULE"]
        raise ConfigurationError(f"Django cannot be set up with the settings {names!r}: {reason(error)}") from error
