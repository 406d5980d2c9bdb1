"""One deployment: daphne and a worker of a subject, on a Redis of the caller."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from .client import Http
from .subjects import Subject

_ROOT = Path(__file__).parent.parent.parent
# Last on the path: an installed package of our name goes before this checkout.
_START = f"import sys; sys.path.append({str(_ROOT)!r}); "
DAPHNE = _START + "from daphne.cli import CommandLineInterface; CommandLineInterface.entrypoint()"
MANAGE = _START + "from django.core.management import execute_from_command_line as run; run(sys.argv)"
PROJECT = "benchmarks.channels1.project"


@contextlib.contextmanager
def running(python: str, redis_url: str, subject: Subject) -> Iterator[int]:
    """Yield daphne's port once the worker answers."""
    env = {
        **os.environ,
        "DJANGO_SETTINGS_MODULE": PROJECT,
        "BENCH_REDIS": redis_url,
        "BENCH_OUR_WORKER": "1" if subject.our_worker else "",
    }
    with contextlib.ExitStack() as stack:
        # Away from the checkout: daphne looks into the directory that it is started in first of all.
        directory = stack.enter_context(tempfile.TemporaryDirectory())
        log = stack.enter_context(tempfile.TemporaryFile("w+"))

        def start(*arguments: str, fd: int = 2) -> None:
            process = subprocess.Popen(
                [python, "-W", "ignore", "-c", *arguments],
                cwd=directory,
                env=env,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                pass_fds=[fd],
            )
            stack.callback(process.wait)
            stack.callback(process.kill)

        with socket.create_server(("127.0.0.1", 0)) as listener:
            port: int = listener.getsockname()[1]
            fd = listener.fileno()
            # No access log, which would be measured, too.
            options = ("--fd", str(fd), "-v", "0", *subject.daphne)
            start(DAPHNE, *options, f"{PROJECT}:channel_layer", fd=fd)
        start(MANAGE, "runworker", "-v", "0")
        _wait(port, log)
        yield port


def _wait(port: int, log: tempfile._TemporaryFileWrapper[str]) -> None:
    deadline = time.monotonic() + 20
    while True:
        try:
            with Http(port, timeout=5) as connection:
                connection.get()
            return
        except OSError as error:
            if time.monotonic() > deadline:
                log.seek(0)
                raise RuntimeError(f"no answer: {error}\n{log.read()[-4000:]}") from error
