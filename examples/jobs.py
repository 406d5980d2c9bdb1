"""The numbers of the demonstration: a worker that does 500 jobs a second."""

from __future__ import annotations

import contextlib
import os
import subprocess
import tempfile
import time
import uuid
from collections.abc import Sequence
from typing import IO

from rich.console import Console

from asgi_redis import RedisChannelLayer
from examples.processes import running
from examples.progress import Display, Progress

RATE = 500  # jobs a second


def show_jobs(url: str, seconds: float, console: Console, signals: Sequence[int]) -> bool:
    """
    Send jobs to a worker by the Redis at ``url``; return whether every job was done once.

    It ends early when ``signals`` has an item.
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
                *("-m", "workers", "--layer-url", url, "--prefix", prefix, "--threads", "4"),
                *("--routing", "examples.routing.channel_routing"),
                log=log,
            )
        )
        console.print(f"Worker: process {worker.pid}, four threads")
        await_listening(worker, log, signals)
        sender = stack.enter_context(
            running("-m", "examples.send_jobs", url, prefix, f"{mine}jobs", str(RATE), str(seconds))
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
                    stack.enter_context(running("-m", "examples.announce", url, prefix, f"{mine}staff", text))
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
            console.print(f"The worker's log:\n{written(log)}", markup=False, soft_wrap=True)
    return once and len(progress.announced) == 2 * announcements


def await_listening(worker: subprocess.Popen[str], log: IO[str], signals: Sequence[int]) -> None:
    """Return when the worker says that it listens, has ended, or is to be ended."""
    while not signals and worker.poll() is None and "Listening" not in written(log):
        time.sleep(0.05)


def written(log: IO[str]) -> str:
    """Return the content of a file that a process writes, and leave it to go on at the end."""
    return os.pread(log.fileno(), 1 << 20, 0).decode()
