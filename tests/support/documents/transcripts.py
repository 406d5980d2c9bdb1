"""
What console blocks say of a terminal: the commands, Ctrl-C, and the output that is to be seen.

A line that begins with ``$ `` is a command; after a backslash at its end it goes on in the next line. ``^C`` is
Ctrl-C. All other lines are output: ``...`` in one stands for anything in that line, a line that is ``...`` for any
number of lines, and a space for any number of spaces.

The caption of a block is the name of its terminal. A block that begins with output shows what the command that runs
there has written meanwhile.

A command goes on where its terminal shows more output or ``^C`` next. Otherwise it ends by itself.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from tests.support.documents.pages import Block

INTERRUPT = "^C"


@dataclass
class Entry:
    """A command, ``^C`` or, where ``typed`` is empty, nothing, and the output after it."""

    typed: str
    place: str
    output: list[str] = field(default_factory=list)
    goes_on: bool = False


def entries_of(block: Block) -> list[Entry]:
    """The entries of one console block."""
    entries = [Entry("", block.place)]
    continued = False
    for number, line in enumerate(block.text.rstrip("\n").split("\n"), block.line):
        if continued:
            entries[-1].typed += f"\n{line}"
        elif line.startswith("$ ") or line == INTERRUPT:
            entries.append(Entry(line[2:] if line != INTERRUPT else line, f"{block.page}:{number}"))
        else:
            entries[-1].output.append(line)
        continued = line.endswith("\\") and (continued or line.startswith("$ "))
    return [entry for entry in entries if entry.typed or entry.output]


def note_what_goes_on(entries: list[Entry]) -> None:
    """Set ``goes_on`` in all entries of one terminal."""
    for entry, following in zip(entries, entries[1:]):
        entry.goes_on = following.typed in ("", INTERRUPT)


def pattern_of(output: list[str]) -> str:
    """The regular expression of whole lines for what a page shows."""
    return "".join(
        r"(?:[^\n]*\n)*?" if line.strip() == "..." else _line_pattern(line) + r"[ \t]*\n" for line in output
    )


def _line_pattern(line: str) -> str:
    parts = (r"[ \t]+".join(re.escape(word) for word in re.split(" +", part)) for part in line.rstrip().split("..."))
    return r"[^\n]*".join(parts)
