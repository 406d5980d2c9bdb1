"""
A demonstration of the worker: ``python -m examples.demo``.

It uses the Redis at --redis, or starts one where none answers. Then a worker process with four threads
runs the consumers of ``examples.consumers``, another process sends it jobs, and a plain script sends to a group.
After some seconds it stops them all and prints the outcome. Exit code 0: every job was done, each once; 1: otherwise;
130: Ctrl-C, 143: SIGTERM. Nothing that it started is left behind.
"""

from __future__ import annotations

import argparse
import contextlib
import signal
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Iterator, Sequence

from redis.exceptions import RedisError
from rich.console import Console

from asgi_redis import RedisChannelLayer
from asgi_redis.embedded import RedisServer
from asgi_redis.exceptions import UnsupportedRedis
from examples.progress import Display, Progress

RATE = 500  # jobs a second


@contextlib.contextmanager
def running(*arguments: str, stderr: int | None = None) -> Iterator[subprocess.Popen[str]]:
    """Run a Python module during the block, in another session: without Ctrl-C."""
    process = subprocess.Popen(
        [sys.executable, "-m", *arguments],
        stdout=subprocess.PIPE,
        stderr=stderr,
        text=True,
        start_new_session=True,
    )
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        assert process.stdout is not None
        process.stdout.close()


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


def show(url: str, seconds: float, console: Console, signals: Sequence[int]) -> bool:
    """
    Run the demonstration on the Redis at ``url``; return whether it succeeded.

    It ends early when ``signals`` has an item. It succeeds when every job was done once.
    """
    prefix = f"asgi-demo-{uuid.uuid4().hex[:8]}:"
    with contextlib.ExitStack() as stack:
        layer = stack.enter_context(RedisChannelLayer(hosts=[url], prefix=prefix))
        mine = f"demo.{layer.client_prefix}!"
        for member in ("mail", "audit"):
            layer.group_add("staff", member)
        log = stack.enter_context(tempfile.TemporaryFile("w+"))
        worker = stack.enter_context(
            running(
                *("workers", "--layer-url", url, "--prefix", prefix, "--threads", "4"),
                *("--routing", "examples.routing.channel_routing"),
                stderr=log.fileno(),
            )
        )
        console.print(f"Worker: process {worker.pid}, four threads")
        sender = stack.enter_context(
            running("examples.send_jobs", url, prefix, f"{mine}jobs", str(RATE), str(seconds))
        )
        console.print(f"Sender: process {sender.pid}, {RATE} jobs a second for {seconds:g} seconds")

        progress = Progress()
        jobs = announcements = 0
        announcing = 1.0
        last_reply = time.monotonic()
        with Display(progress, console) as display:
            while not jobs or progress.jobs < jobs or len(progress.announced) < 2 * announcements:
                if signals:
                    return False
                for _, reply in layer.receive_batch([mine], 100, timeout=0.1):
                    progress.add(reply)
                    last_reply = time.monotonic()
                progress.depth = int(layer.channel_statistics("thumbnails")["messages_pending"])
                display.update()
                if time.monotonic() - progress.started > announcing and announcing < seconds:
                    announcements += 1
                    announcing += 2.0
                    text = f"announcement {announcements}"
                    stack.enter_context(running("examples.announce", url, prefix, f"{mine}staff", text))
                if sender.poll() is not None and not jobs:
                    assert sender.stdout is not None
                    jobs = int(sender.stdout.read() or 0)
                if worker.poll() is not None or (sender.poll() and not jobs) or time.monotonic() - last_reply > 15:
                    break
        once = jobs > 0 and progress.jobs == jobs == len(progress.done)
        took = time.monotonic() - progress.started
        console.print(
            f"{jobs} jobs sent, {progress.jobs} done, {progress.jobs - len(progress.done)} of them twice, "
            f"in {took:.1f} s ({progress.jobs / took:.0f} a second).\n"
            f"Picked up after {progress.latency(50):.1f} ms (p50), {progress.latency(99):.1f} ms (p99).\n"
            f"{announcements} messages to a group of two channels: {len(progress.announced)} arrived."
        )
        if not once:
            log.seek(0)
            console.print(f"The worker's log:\n{log.read()}")
    return once and len(progress.announced) == 2 * announcements


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m examples.demo", description="A worker that serves messages.")
    parser.add_argument("--redis", metavar="URL", default="redis://localhost:6379", help="default: %(default)s")
    parser.add_argument("--seconds", type=float, default=8.0, help="for which jobs are sent (default: %(default)g)")
    options = parser.parse_args(argv)
    console = Console()
    signals: list[int] = []
    for number in (signal.SIGINT, signal.SIGTERM):
        # Only recorded: an exception in the middle of starting a process would leave it behind.
        signal.signal(number, lambda number, _: signals.append(number))
    with found_or_started(options.redis, console) as url:
        complete = show(url, options.seconds, console, signals)
    return 128 + signals[0] if signals else 0 if complete else 1


if __name__ == "__main__":
    sys.exit(main())
