"""The command ``asgi-redis``."""

from __future__ import annotations

import argparse
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from asgi_redis.process import health


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; return its exit code: 1 for a failure, 2 for wrong arguments."""
    words = sys.argv[1:] if argv is None else argv
    if words[:1] == ["health"]:
        # Probes start it every few seconds, and the imports of the other commands take ten times as long.
        arguments = _parser_for_probes()[0].parse_args(words)
        return int(arguments.run(arguments))
    _open_closed_streams()
    try:
        from asgi_redis.monitor import command  # which takes so long that it is interrupted, too

        return command.run(make_parser().parse_args(words))
    except KeyboardInterrupt:
        return 128 + signal.SIGINT
    except BrokenPipeError:  # the reader of the output has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # or the flush at exit fails, too
        return 1


def make_parser() -> argparse.ArgumentParser:
    """Return the parser of all commands."""
    from asgi_redis.monitor import command

    parser, subjects = _parser_for_probes()
    command.add_to(subjects)
    return parser


def _parser_for_probes() -> tuple[argparse.ArgumentParser, Any]:
    """Return a parser with the command ``health`` only, and the place of the others."""
    parser = argparse.ArgumentParser(prog="asgi-redis", description="Looks at the layers and workers of asgi_redis.")
    subjects = parser.add_subparsers(required=True, metavar="COMMAND")
    health.add_to(subjects)
    return parser, subjects


def _open_closed_streams() -> None:
    """Replace standard streams that were closed, as by ``>&-``: Python has None there."""
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            # It stays open until the process ends.
            setattr(sys, name, Path(os.devnull).open(mode, encoding="utf-8"))  # noqa: SIM115


if __name__ == "__main__":
    sys.exit(main())
