"""The command ``asgi-redis``."""

from __future__ import annotations

import argparse
import os
import signal
import sys
from collections.abc import Sequence

from asgi_redis.process import health


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; return its exit code: 1 for a failure, 2 for wrong arguments."""
    words = sys.argv[1:] if argv is None else argv
    parser = argparse.ArgumentParser(prog="asgi-redis", description="Looks at the layers and workers of asgi_redis.")
    subjects = parser.add_subparsers(required=True, metavar="COMMAND")
    health.add_to(subjects)
    if words[:1] == ["health"]:
        # Probes start it every few seconds, and the imports of the other commands take ten times as long.
        arguments = parser.parse_args(words)
        return int(arguments.run(arguments))
    from asgi_redis.monitor import command

    command.add_to(subjects)
    arguments = parser.parse_args(words)
    try:
        return command.run(arguments)
    except KeyboardInterrupt:
        return 128 + signal.SIGINT
    except BrokenPipeError:  # the reader of the output has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # or the flush at exit fails, too
        return 1


if __name__ == "__main__":
    sys.exit(main())
