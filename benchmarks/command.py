"""The parts of each command: common flags, the choice of what is measured, progress, the way out."""

from __future__ import annotations

import argparse
import re
import sys
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, NoReturn, TypeVar

from .environments import CACHE
from .record import RESULTS

T = TypeVar("T")


def parser_for(module: str, description: str, turn: str, number: int) -> argparse.ArgumentParser:
    """Return a parser with the flags of all commands; ``number`` is the default of ``--runs`` or ``--rounds``."""
    parser = argparse.ArgumentParser(prog=f"python -m {module}", description=description)
    parser.add_argument("--quick", action="store_true", help=f"one short {turn}, to see that everything works")
    parser.add_argument(
        f"--{turn}s", type=_count, metavar="N", help=f"interleaved {turn}s ({number}; 1 with --quick)"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every sample")
    add_save(parser)
    parser.add_argument("--environments", type=Path, metavar="DIR", default=CACHE, help=f"default {CACHE}")
    return parser


def add_save(parser: argparse.ArgumentParser) -> None:
    """Add the flag ``--save``."""
    text = "write the tables into a results file, in benchmarks/results or in DIR"
    parser.add_argument("--save", type=Path, nargs="?", const=RESULTS, metavar="DIR", help=text)


def check_save(arguments: argparse.Namespace, *flags: str) -> None:
    """End the process where ``--save`` comes with ``--quick``, or with one of the flags that leave out rows."""
    partial = [f"--{flag}" for flag in ("quick", *flags) if getattr(arguments, flag)]
    if arguments.save and partial:
        raise SystemExit(f"--save and {partial[0]} exclude each other: a results file has complete tables only")


def _count(text: str) -> int:
    if not text.isdecimal() or not int(text):
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of runs, such as 5")
    return int(text)


def matching(everything: Iterable[T], pattern: str, name_of: Callable[[T], str]) -> list[T]:
    """Return what has a name that matches; where nothing has, end the process with the names that there are."""
    by_name = {name_of(one): one for one in everything}
    try:
        found = [one for name, one in by_name.items() if re.search(pattern, name)]
    except re.error as error:
        raise SystemExit(f"{pattern}: {error}") from None
    if not found:
        raise SystemExit("\n  ".join([f"nothing matches {pattern!r}; there are", *by_name]))
    return found


def interleaved(number: int, turn: str) -> str:
    """Return the beginning of a method: "Medians of 5 interleaved runs", or "One run"."""
    return f"One {turn}" if number == 1 else f"Medians of {number} interleaved {turn}s"


def say(text: Any) -> None:
    """Write a line about the progress."""
    print(f"{time.strftime('%H:%M:%S')} {text}", file=sys.stderr, flush=True)


def run(main: Callable[[], int]) -> NoReturn:
    """Run a command, and end the process with its exit code, or with 130 at Ctrl-C."""
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
