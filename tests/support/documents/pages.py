"""A page of the documentation as a list of its parts: prose, and code blocks with their captions."""

from __future__ import annotations

import itertools
import re
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

DIRECTIVE = re.compile(r"( *)\.\. code-block:: *(\S+)")


@dataclass(frozen=True)
class Prose:
    """A heading or a paragraph, on one line; ``place`` is ``PAGE:LINE``."""

    text: str
    place: str


@dataclass(frozen=True)
class Block:
    """A code block; ``caption`` is empty where it has none, and ``line`` is that of its first line of code."""

    language: str
    caption: str
    text: str
    page: str
    line: int

    @property
    def place(self) -> str:
        return f"{self.page}:{self.line}"


class Page:
    """
    A page; its ``parts`` are in the order of the text.

    ``blocks("python")`` are those of a language; ``file("mysite/settings.py")`` is that with this caption.
    """

    def __init__(self, path: Path) -> None:
        self.name = path.name
        self.parts = list(_parts(path.name, path.read_text().split("\n")))

    def blocks(self, language: str) -> list[Block]:
        return [part for part in self.parts if isinstance(part, Block) and part.language == language]

    def file(self, caption: str) -> str:
        found = [part.text for part in self.parts if isinstance(part, Block) and part.caption == caption]
        assert found, f"{self.name} has no block with the caption {caption!r}"
        assert len(found) == 1, f"{self.name} has {len(found)} blocks with the caption {caption!r}"
        return found[0]


def _parts(page: str, lines: list[str]) -> Iterator[Prose | Block]:
    index = 0
    while index < len(lines):
        directive = DIRECTIVE.fullmatch(lines[index])
        if directive:
            deeper = re.compile(rf"{directive[1]} +\S|\s*$")
            body = list(itertools.takewhile(deeper.match, lines[index + 1 :]))
            yield _block(page, directive[2], body, index + 2)
            index += 1 + len(body)
        elif lines[index].strip():
            paragraph = list(
                itertools.takewhile(lambda line: line.strip() and not DIRECTIVE.match(line), lines[index:])
            )
            yield Prose(" ".join(line.strip() for line in paragraph), f"{page}:{index + 1}")
            index += len(paragraph)
        else:
            index += 1


def _block(page: str, language: str, body: list[str], line: int) -> Block:
    options = list(itertools.takewhile(lambda text: text.strip().startswith(":"), body))
    caption = next((text.partition(":caption:")[2].strip() for text in options if ":caption:" in text), "")
    code = textwrap.dedent("\n".join(body[len(options) :]))
    blank = len(code) - len(code.lstrip("\n"))
    return Block(language, caption, code.strip("\n") + "\n", page, line + len(options) + blank)
