"""``runworker``, with and without Django."""

from __future__ import annotations

import argparse
import dataclasses
import importlib.util
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Callable

from asgi_redis.integrations.django import register_layer
from asgi_redis.integrations.environment import urls_from_environment
from asgi_redis.layers.base import BaseChannelLayer
from workers.asgi import DEFAULT_CHANNEL_LAYER, layer_from_path
from workers.command import supervisor
from workers.command.arguments import WorkerOptions, flag
from workers.command.launcher import launch, when_served
from workers.exceptions import ConfigurationError
from workers.importing import reason
from workers.routing import Router
from workers.runtime.stopping import ExitCode

DEFAULT_PREFIX = "asgi"


@dataclasses.dataclass(frozen=True)
class CommandOptions(WorkerOptions):
    """The parsed flags of ``runworker``."""

    layer_url: Sequence[str] | None = flag(
        None,
        "Redis to work on without Django settings; once for each shard, in the same order everywhere, or with "
        "--shards once for each start node. Where there are no settings: the URLs in the environment variable "
        "ASGI_REDIS_URL, with spaces or commas between",
        metavar="URL",
        action="append",
    )
    layer_url_file: str | None = flag(
        None, "a file with those URLs: other users of the machine can read command lines", metavar="PATH"
    )
    shards: int | None = flag(
        None,
        "how many shards the layer has on the Redis Cluster that those URLs are start nodes of, the same in all "
        "processes; without, the URLs are no cluster",
        metavar="N",
        type=int,
    )
    prefix: str | None = flag(None, "key prefix on the Redis of those URLs (default: asgi)", metavar="PREFIX")
    settings: str | None = flag(None, "Django settings (default: DJANGO_SETTINGS_MODULE)", metavar="MODULE")
    verbosity: int = flag(
        1, "0 warnings, 1 start and stop, 2 each message (default: %(default)s)", "-v", type=int, choices=range(4)
    )

    @property
    def names_object(self) -> bool:
        """Whether ``layer`` is the path of an object."""
        return ":" in self.layer

    @property
    def names_settings(self) -> bool:
        """Whether there are Django settings."""
        return bool(self.settings or os.environ.get("DJANGO_SETTINGS_MODULE"))

    @property
    def plain(self) -> bool:
        """Whether the channel layer is not one of Django's settings."""
        given = self.layer_url or self.layer_url_file or self.names_object
        return bool(given) or (not self.names_settings and bool(urls_from_environment()))

    def urls(self) -> Sequence[str]:
        """Return the URLs of the shards, or raise ``ConfigurationError``."""
        if self.layer_url:
            return self.layer_url
        if not self.layer_url_file:
            return urls_from_environment()
        try:
            urls = Path(self.layer_url_file).read_text().split()
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigurationError(f"cannot read the --layer-url-file: {error}") from error
        if not urls:
            raise ConfigurationError(
                f"the --layer-url-file {self.layer_url_file} is empty: the URL of a Redis is wanted"
            )
        return urls

    def misuse(self) -> str | None:
        """Return a message about flags that do not go together, or None."""
        for name, value in {"--prefix": self.prefix, "--shards": self.shards}.items():
            if value is not None and (self.names_object or not self.plain):
                return f"{name} goes with --layer-url; otherwise it is a setting of the channel layer"
        if not self.plain:
            if self.names_settings:
                return None
            return "Django's --settings are needed, or else a --routing and --layer-url, or --layer MODULE:OBJECT"
        named = {
            "--layer-url": self.layer_url,
            "--layer-url-file": self.layer_url_file,
            "--settings": self.settings,
            "--layer": self.layer != DEFAULT_CHANNEL_LAYER,
        }
        given = [name for name, value in named.items() if value]
        if len(given) > 1:
            return f"{' and '.join(given)} each say which channel layer is meant: give one of them"
        if given == ["--layer"] and not self.names_object:
            return "--layer ALIAS names a channel layer of Django's --settings, and there are none"
        if self.channels:
            return (
                "channels are those of an ASGI application in Django's settings: without, leave them to the --routing"
            )
        return None if self.routing else "without Django's settings a --routing is needed, as module.name"


def make_parser() -> argparse.ArgumentParser:
    """Return the parser of the command's flags."""
    codes = "; ".join(f"{code:d} {code.meaning}" for code in ExitCode)
    parser = argparse.ArgumentParser(
        prog="runworker",
        allow_abbrev=False,
        description="Runs the consumers of a channel routing.",
        epilog=f"Exit codes: {codes}; 128+n killed by signal n.",
    )
    CommandOptions.add_to(parser)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command with ``argv``, or the process's own; return the exit code."""
    parser = make_parser()
    options = CommandOptions.from_parsed(vars(parser.parse_args(argv)))
    misuse = options.misuse()
    if misuse is not None:
        parser.error(misuse)
    # As with ``python -m``: the project is in the current directory.
    if "" not in sys.path and os.getcwd() not in sys.path:  # noqa: PTH109 - entries of sys.path are strings
        sys.path.insert(0, os.getcwd())  # noqa: PTH109
    try:
        return _run(options)
    except ConfigurationError as error:
        sys.stderr.write(f"{parser.prog}: error: {error}\n")
        return ExitCode.CONFIGURATION
    except KeyboardInterrupt:
        # Before the worker has its handlers in place; there is nothing to stop yet.
        return 128 + signal.SIGINT


def _run(options: CommandOptions) -> int:
    supervises = supervisor.is_wanted(options)
    if not options.plain:
        _in_project(options, _configure_logging if supervises else _set_up)
    if supervises:
        return supervisor.supervise(options)
    if options.plain:
        channel_layer = when_served(lambda: plain_layer(options), options)
        register_layer(DEFAULT_CHANNEL_LAYER, channel_layer)
        return launch(channel_layer, Router(options.routing or ()), options)
    from workers.command.project import launch_in_project  # here, because it needs Django and its settings

    return launch_in_project(options)


def plain_layer(options: CommandOptions) -> BaseChannelLayer:
    """Return the layer that the flags describe, without Django's settings."""
    if options.names_object:
        return layer_from_path(options.layer)
    from asgi_redis import RedisChannelLayer, RedisClusterChannelLayer  # here, because the layer may be any other

    urls, prefix = options.urls(), DEFAULT_PREFIX if options.prefix is None else options.prefix
    try:
        if options.shards is None:
            return RedisChannelLayer(hosts=urls, prefix=prefix)
        return RedisClusterChannelLayer(hosts=urls, prefix=prefix, shards=options.shards)
    except (TypeError, ValueError) as error:
        raise ConfigurationError(str(error)) from error


def _in_project(options: CommandOptions, set_up: Callable[[], None]) -> None:
    if options.settings:
        os.environ["DJANGO_SETTINGS_MODULE"] = options.settings
    if importlib.util.find_spec("django") is None:
        raise ConfigurationError('Django is not installed: pip install "asgi_redis[django]", or use --layer-url')
    try:
        set_up()
    except Exception as error:
        names = os.environ["DJANGO_SETTINGS_MODULE"]
        raise ConfigurationError(f"Django cannot be set up with the settings {names!r}: {reason(error)}") from error


def _configure_logging() -> None:
    """Do the part of ``django.setup`` that sets up logging."""
    from django.conf import settings
    from django.utils.log import configure_logging

    configure_logging(settings.LOGGING_CONFIG, settings.LOGGING)


def _set_up() -> None:
    import django

    django.setup()
