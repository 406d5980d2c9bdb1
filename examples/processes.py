"""Processes that run during a block, and leave nothing behind."""

from __future__ import annotations

import contextlib
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO


@contextlib.contextmanager
def running(
    *arguments: str,
    log: IO[str] | None = None,
    folder: Path | None = None,
    environment: Mapping[str, str] | None = None,
    pass_fds: Sequence[int] = (),
) -> Iterator[subprocess.Popen[str]]:
    """
    Run Python with ``arguments`` during the block, in another session: without Ctrl-C.

    What the process writes goes to ``log``; without one, its output can be read from ``stdout``. It inherits
    ``pass_fds``.
    """
    process = subprocess.Popen(
        [sys.executable, *arguments],
        stdout=log or subprocess.PIPE,
        stderr=log,
        text=True,
        cwd=folder,
        env=environment,
        pass_fds=pass_fds,
        start_new_session=True,
    )
    try:
        yield process
    finally:
        end(process)
        if process.stdout is not None:
            process.stdout.close()


def end(process: subprocess.Popen[str]) -> None:
    """Stop a process in order, or kill it after ten seconds."""
    process.terminate()
    try:
        process.wait(timeout=10)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
