"""
A demonstration: ``python -m examples.demo``.

It uses the Redis at --redis, or starts one where none answers, and then

* serves the classic chat of ``examples/classic``, at http://127.0.0.1:8000/ where that port is free: an interface
  with the sockets, and workers with the code;
* measures a worker process with four threads, which does 500 jobs a second that another process sends, and prints a
  table of it;
* visits the chat with two websockets, and restarts its worker while they are open.

On a terminal the chat stays open until Ctrl-C; otherwise, and with --no-serve, it ends by itself. Exit code 0: all
went well; 1: something did not; 130: Ctrl-C, 143: SIGTERM, 129: its terminal was closed. Nothing that it started is
left behind.
"""

from __future__ import annotations

import argparse
import contextlib
import signal
import sys
import time
from collections.abc import Iterator, Sequence

from redis.exceptions import RedisError
from rich.console import Console

from asgi_redis import RedisChannelLayer
from asgi_redis.embedded import RedisServer
from asgi_redis.exceptions import UnsupportedRedis
from examples.chat_site import ChatSite
from examples.jobs import show_jobs
from examples.visit import visit


@contextlib.contextmanager
def found_or_started(url: str, console: Console) -> Iterator[str]:
    """Yield the URL of a Redis that answers, if need be of one for the block."""
    with RedisChannelLayer(hosts=[url], connection_kwargs={"socket_connect_timeout": 1}) as layer:
        try:
            layer.channel_statistics("thumbnails")
        except (RedisError, UnsupportedRedis):
            answers = False
        else:
            answers = True
            console.print(f"Redis: {layer}", soft_wrap=True)
    if answers:
        yield url
        return
    with RedisServer() as server:
        console.print(f"Redis: none answers at {url}", soft_wrap=True)
        console.print(f"Redis: started {server.binary} {server.version} at {server.url}", soft_wrap=True)
        yield server.url


def show(url: str, options: argparse.Namespace, console: Console, signals: Sequence[int]) -> bool:
    """Run the demonstration on the Redis at ``url``; return whether all went well."""
    with ChatSite(url, options.port) as site:
        if not site.serves(signals):
            if not signals:
                console.print(f"The chat does not start. Its log:\n{site.log}", markup=False, soft_wrap=True)
            return False
        console.print(f"Chat: {site.url} ({site})", soft_wrap=True)
        good = show_jobs(url, options.seconds, console, signals) and visit(site, console, signals)
        if options.serve and not signals:
            console.print(f"The chat is open at {site.url} until Ctrl-C: try it in two windows.", soft_wrap=True)
        while options.serve and site.alive and not signals:
            time.sleep(0.1)
        if not signals and not (good and site.alive):
            console.print(f"The log of the chat:\n{site.log}", markup=False, soft_wrap=True)
        return good and site.alive


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m examples.demo", description="A chat, and a worker's numbers.")
    parser.add_argument("--redis", metavar="URL", default="redis://localhost:6379", help="default: %(default)s")
    parser.add_argument("--port", type=int, default=8000, help="of the chat, or the next free one (default: 8000)")
    parser.add_argument("--seconds", type=float, default=8.0, help="for which jobs are sent (default: %(default)g)")
    parser.add_argument(
        "--serve",
        action=argparse.BooleanOptionalAction,
        default=sys.stdout.isatty(),
        help="leave the chat open until Ctrl-C (default: on a terminal)",
    )
    options = parser.parse_args(argv)
    console = Console()
    signals: list[int] = []
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        # Only recorded: an exception in the middle of starting a process would leave it behind.
        signal.signal(number, lambda number, _: signals.append(number))
    with found_or_started(options.redis, console) as url:
        good = show(url, options, console, signals)
    return 128 + signals[0] if signals else 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
