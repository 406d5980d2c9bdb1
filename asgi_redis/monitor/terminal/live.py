"""The live view on the screen. It needs rich."""

from __future__ import annotations

import logging
import os
import signal
import sys
import time

from rich.console import Console, ConsoleDimensions, Group
from rich.live import Live
from rich.text import Text

from asgi_redis.monitor.channels import EXPIRING, FULL, NO_READER, UNREAD
from asgi_redis.monitor.monitor import Monitor
from asgi_redis.monitor.snapshot import Row, Snapshot
from asgi_redis.monitor.terminal.keyboard import Keyboard
from asgi_redis.monitor.terminal.view import View

_LOOK_SECONDS = 0.2  # how soon a new picture is on the screen
_STALE_SECONDS = 5.0  # more than the interval: then the screen says how old the picture is
_STYLES = {FULL: "bold red", NO_READER: "red", UNREAD: "yellow", EXPIRING: "yellow"}


def watch(monitor: Monitor) -> int:
    """
    Show the pictures of a monitor until a key or a signal ends it.

    To be called in the main thread, with a terminal as standard input and output. It is restored in any case.

    Returns:
        0 as the exit code, or 128 and the number of the signal.
    """
    logging.getLogger().addHandler(logging.NullHandler())  # the picture has the errors; a log would be drawn over it
    view, console = View(), Console()
    with Keyboard() as keyboard, Live(console=console, screen=True, auto_refresh=False) as live:
        while keyboard.signal is None:
            width, height = os.get_terminal_size(sys.stdout.fileno())
            console.size = ConsoleDimensions(width, height)
            snapshot = monitor.snapshot()
            live.update(_screen(view, snapshot, monitor.interval, width, height), refresh=True)
            try:
                keys = _wait(keyboard, monitor, snapshot)
            except (EOFError, OSError):
                return 128 + signal.SIGHUP
            if not all(map(view.press, keys)):
                return 0
    return 128 + keyboard.signal


def _wait(keyboard: Keyboard, monitor: Monitor, shown: Snapshot) -> list[str]:
    """Return the keys pressed until another picture comes, for a second at most."""
    for _ in range(round(1 / _LOOK_SECONDS)):
        before = os.get_terminal_size(sys.stdout.fileno())
        keys = keyboard.keys(_LOOK_SECONDS)
        resized = os.get_terminal_size(sys.stdout.fileno()) != before
        if keys or resized or keyboard.signal is not None or monitor.snapshot() is not shown:
            return keys
    return []


def _screen(view: View, snapshot: Snapshot, interval: float, width: int, height: int) -> Group:
    header = [Text(line, "red" if line.startswith("error: ") else "") for line in view.header(snapshot, width)]
    header[0].stylize("bold")
    age = time.time() - snapshot["time"]
    if age > interval + _STALE_SECONDS:
        header.append(Text(f"this picture is {age:.0f} s old: Redis does not answer", "bold red"))
    tabs = Text("  ").join(Text(f" {title} ", "reverse" if shown else "") for title, shown in view.tabs(snapshot))
    body = view.body(snapshot, width, height - len(header) - 2)
    table = [Text(line.text, "bold" if line.row is None else _style(line.row)) for line in body]
    above = [*header, tabs, *table][: height - 1]
    gap = [Text("")] * (height - 1 - len(above))
    made = [*above, *gap, Text(view.footer(), "dim")]
    for line in made:
        line.no_wrap, line.overflow = True, "crop"
    return Group(*made)


def _style(row: Row) -> str:
    if row.get("error"):
        return "red"
    return next((_STYLES[mark] for mark in row.get("marks") or () if mark in _STYLES), "")
