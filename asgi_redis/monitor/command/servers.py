"""The commands ``ping``, ``redis-server`` and ``version``."""

from __future__ import annotations

import argparse
import os
import platform
import sys
from typing import Any

import redis

from asgi_redis.embedded import find_redis_server
from asgi_redis.monitor.command.layer import add_layer_flags, inspector_of, layer_from
from asgi_redis.monitor.command.output import add_json_flag, output_width, show, show_json
from asgi_redis.monitor.tables import SERVERS, lines, server_rows
from asgi_redis.process.version import __version__


def add_to(subjects: Any) -> None:
    """Add the commands to those of ``asgi-redis``."""
    ping = subjects.add_parser("ping", help="whether each server answers, and how fast; exits with 1 if one does not")
    add_json_flag(ping, "a list, an object for each server")
    add_layer_flags(ping)
    ping.set_defaults(run=_ping)
    server = subjects.add_parser(
        "redis-server",
        help="a Redis for development, until Ctrl-C",
        description="Runs the redis-server of this machine, or that of the extra embedded, in the foreground. Only "
        "this machine can reach it, and it writes nothing to the disk: its data end with it.",
    )
    server.add_argument("--port", type=int, default=6379, metavar="N", help="its port (default: %(default)s)")
    server.set_defaults(run=_redis_server)
    version = subjects.add_parser("version", help="the versions of asgi_redis, redis-py and Python")
    add_json_flag(version, "an object")
    version.set_defaults(run=_version)


def _ping(arguments: argparse.Namespace) -> int:
    with layer_from(arguments) as layer:
        servers = [server._asdict() for server in inspector_of(layer).servers()]
        if arguments.json:
            show_json(servers)
        elif servers:
            show("\n".join(line.text for line in lines(SERVERS, server_rows(servers), output_width())))
        else:
            show(f"{layer} needs no server")
    return 1 if any(server["error"] for server in servers) else 0


def _redis_server(arguments: argparse.Namespace) -> int:
    """Become the server: signals and the exit code are its."""
    binary = find_redis_server()
    sys.stdout.flush()
    os.execv(binary, [binary, "--port", str(arguments.port), "--bind", "127.0.0.1", "--save", ""])  # noqa: S606


def _version(arguments: argparse.Namespace) -> int:
    versions = {"asgi_redis": __version__, "redis-py": redis.__version__, "Python": platform.python_version()}
    if arguments.json:
        show_json(versions)
    else:
        show("\n".join(f"{name} {version}" for name, version in versions.items()))
    return 0
