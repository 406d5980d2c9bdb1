"""The standard streams, before the process ends or becomes another program."""

from __future__ import annotations

import contextlib
import sys


def write_out() -> None:
    """Writes what is buffered, where there is still somebody to read it."""
    for stream in (sys.stdout, sys.stderr):
        if stream is not None:
            with contextlib.suppress(OSError, ValueError):  # its reader has gone, or it is closed
                stream.flush()
