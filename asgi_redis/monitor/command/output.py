"""What commands print: text for people, JSON for scripts."""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys

from asgi_redis.monitor.cells import printable


def add_json_flag(parser: argparse.ArgumentParser, text: str) -> None:
    """Add the flag ``--json``; ``text`` says what it prints."""
    parser.add_argument("--json", action="store_true", help=f"print JSON: {text}")


def show(text: str) -> None:
    """Print a line, or several, with ``?`` for characters that the output cannot have."""
    encoding = sys.stdout.encoding or "utf-8"
    print(text.encode(encoding, "replace").decode(encoding), flush=True)  # noqa: T201  a command


def show_json(value: object) -> None:
    """Print a value as one line of JSON, with bytes as text."""
    show(as_json(value))


def as_json(value: object) -> str:
    """Return a value as JSON in ASCII, with bytes as text."""
    return json.dumps(value, default=_as_text)


def complain(text: str) -> None:
    """Print a line about something that went wrong."""
    print(f"asgi-redis: {printable(text)}", file=sys.stderr, flush=True)  # noqa: T201  a command


def output_width() -> int | None:
    """Return the width of the terminal, or None in a pipe, which has no width."""
    if sys.stdout.isatty() or os.environ.get("COLUMNS"):
        return shutil.get_terminal_size().columns
    return None


def _as_text(value: object) -> str:
    return value.decode(errors="backslashreplace") if isinstance(value, bytes) else str(value)
