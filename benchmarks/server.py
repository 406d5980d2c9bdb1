"""A Redis on a free port, pinned to one CPU, or to some."""

from __future__ import annotations

import os
import runpy
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

_EMBEDDED = Path(__file__).parent.parent / "asgi_redis" / "embedded.py"


def redis_version() -> str:
    """Return the version of the server that the benchmarks start."""
    version: str = _server().version
    return version


@contextmanager
def redis_on(*cpus: int) -> Iterator[Any]:
    """Run a ``RedisServer`` that saves nothing, and yield it."""
    server = _server()
    allowed = os.sched_getaffinity(0)
    os.sched_setaffinity(0, set(cpus))  # inherited by all the server's threads
    try:
        server.start()
    finally:
        os.sched_setaffinity(0, allowed)
    try:
        yield server
    finally:
        server.close()


def put_first(process: int) -> None:
    """Give a process the CPU before others, if that is allowed: its commands would seem longer than they are."""
    # Not in real time: the kernel stops such a process for 50 ms in each second that it takes whole.
    with suppress(PermissionError):
        os.setpriority(os.PRIO_PROCESS, process, -20)


def _server() -> Any:
    # From its file: importing the package would need redis-py, which only the environments have.
    return runpy.run_path(str(_EMBEDDED))["RedisServer"]()
