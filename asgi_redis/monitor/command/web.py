"""``monitor --web``: the page, from its start to the signal that ends it."""

from __future__ import annotations

import argparse
import signal
import threading

from asgi_redis.exceptions import ConfigurationError, WrongArguments
from asgi_redis.layers.base import BaseChannelLayer
from asgi_redis.monitor.command.output import complain, show

_LOOPBACK = "127.0.0.1"
_SHUTDOWN_POLL_SECONDS = 0.2


def add_web_flags(parser: argparse.ArgumentParser) -> None:
    """Add the flags of the page."""
    group = parser.add_argument_group("the web page")
    add = group.add_argument
    add(
        "--web",
        type=address,
        metavar="[HOST:]PORT",
        help=f"serve the page there (default of HOST: {_LOOPBACK}); it has no login",
    )
    add("--allow-actions", action="store_true", help="the page may purge channels and quiet workers")
    add("--content", action="store_true", help="the page may show the content of messages")


def check_web_flags(arguments: argparse.Namespace) -> None:
    """Raise ``WrongArguments`` for flags that do not go together."""
    for flag in ("allow_actions", "content"):
        if getattr(arguments, flag) and not arguments.web:
            raise WrongArguments(f"--{flag.replace('_', '-')} goes with --web")
    if arguments.web and (arguments.once or arguments.json):
        raise WrongArguments("--web serves a page, and --once and --json print a picture: give one of them")


def address(text: str) -> tuple[str, int]:
    """
    Return the host and the port that ``[HOST:]PORT`` names.

    Without a host it is the loopback address.
    """
    host, _, port = text.rpartition(":")
    if not (port.isascii() and port.isdigit() and len(port) <= 5 and int(port) < 1 << 16):
        raise argparse.ArgumentTypeError(f"[HOST:]PORT is wanted, not {text!r}")
    return host.strip("[]") or _LOOPBACK, int(port)


def serve(layer: BaseChannelLayer, arguments: argparse.Namespace) -> int:
    """
    Serve the page of a layer until SIGINT or SIGTERM; return the exit code.

    Raises:
        ConfigurationError: The address cannot be had.
    """
    from asgi_redis.monitor.web.server import MonitorServer  # here, because other commands need no HTTP

    host, port = arguments.web
    rights = {"allow_actions": arguments.allow_actions, "content": arguments.content}
    try:
        server = MonitorServer((host, port), layer, **rights)
    except (OSError, UnicodeError) as error:  # UnicodeError: the name cannot be that of a host
        reason = getattr(error, "strerror", None) or error
        raise ConfigurationError(f"cannot serve the page on {host}:{port}: {reason}") from error
    stopped = threading.Event()
    signals = (signal.SIGINT, signal.SIGTERM)
    with server:
        before = [signal.signal(number, lambda *_: stopped.set()) for number in signals]
        thread = threading.Thread(target=server.serve_forever, args=(_SHUTDOWN_POLL_SECONDS,), daemon=True)
        thread.start()
        try:
            if not server.ip_address.is_loopback:
                complain(f"warning: there is no login, and all who can reach {host}:{port} see the page")
            show(f"The monitor is at {server.url}")
            stopped.wait()
        finally:
            server.shutdown()
            thread.join()
            for number, handler in zip(signals, before):
                signal.signal(number, handler)
    return 0
