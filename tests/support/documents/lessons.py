"""Follows a page to the letter, in a fresh folder, with ports that are free."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Mapping
from pathlib import Path

from tests.support.documents import files, installing
from tests.support.documents.pages import Block, Page, Prose
from tests.support.documents.terminals import Terminal
from tests.support.documents.transcripts import entries_of, note_what_goes_on
from tests.support.interface.serving import free_port

DEFAULT_TERMINAL = "Terminal"
FOREIGN = ("DJANGO_SETTINGS_MODULE", "ASGI_REDIS_URL", "PYTHONPATH", "VIRTUAL_ENV", "PYTHONHOME")


class Lesson:
    """
    A page that is being followed; a context manager.

    ``follow_to("Open http://...")`` does all that stands above the paragraph with these words, where the test does
    what the reader does in a browser; ``follow_to_the_end`` does the rest. ``redis_port`` and ``web_port`` are in the
    place of 6379 and 8000. ``replacements`` are more words of the page, and what is to be in their place.

    Args:
        path: The page.
        folder: An empty folder, where the reader begins.
        environment: More variables for the terminals.
        replacements: Other words in the place of some of the page.
    """

    def __init__(
        self,
        path: Path,
        folder: Path,
        environment: Mapping[str, str] | None = None,
        replacements: Mapping[str, str] | None = None,
    ) -> None:
        self.page = Page(path)
        self._records = folder / "records"
        self._folder = folder / "reader"
        for one in (self._records, self._folder):
            one.mkdir()
        self._ports = contextlib.ExitStack()
        self.redis_port, self.web_port = self._free_port(), self._free_port()
        self._replacements = {**self._usual_replacements(), **(replacements or {})}
        self._environment = {**_environment_of_a_reader(), **(environment or {})}
        self.terminals: dict[str, Terminal] = {}
        self._parts = [self._with_replacements(part) for part in self.page.parts]
        self._entries = {
            part.place: entries_of(part)
            for part in self._parts
            if isinstance(part, Block) and part.language == "console"
        }
        self._note_what_goes_on()

    def __enter__(self) -> Lesson:
        return self

    def __exit__(self, *exc_info: object) -> None:
        for terminal in reversed(list(self.terminals.values())):
            terminal.close()
        self._ports.close()

    def follow_to(self, words: str) -> None:
        """Follow the page to the next paragraph with these words."""
        words = self._replaced(words)
        for number, part in enumerate(self._parts):
            if isinstance(part, Prose) and words in part.text:
                self._follow_parts(number + 1)
                return
        raise AssertionError(f"{self.page.name} has no more paragraph with {words!r}")

    def follow_to_the_end(self) -> None:
        """Follow the rest of the page, at whose end nothing runs any more."""
        self._follow_parts(len(self._parts))
        assert [name for name, terminal in self.terminals.items() if terminal.busy] == []

    def _follow_parts(self, number: int) -> None:
        parts, self._parts = self._parts[:number], self._parts[number:]
        for part in parts:
            if isinstance(part, Block):
                self._follow(part)

    def _follow(self, block: Block) -> None:
        if block.language != "console":
            try:
                files.apply(block.caption, block.text, self._project())
            except (AssertionError, OSError) as error:
                raise AssertionError(f"{block.place}: {error}") from error
            return
        terminal = self._terminal(block.caption)
        for entry in self._entries[block.place]:
            terminal.follow(entry)

    def _terminal(self, caption: str) -> Terminal:
        name = caption or DEFAULT_TERMINAL
        if name not in self.terminals:
            self.terminals[name] = Terminal(name, self._folder, self._environment, self._records)
        return self.terminals[name]

    def _project(self) -> Path:
        """Return the folder that captions begin at: where the first terminal is."""
        terminal = next(iter(self.terminals.values()), None)
        return self._folder if terminal is None else terminal.folder

    def _note_what_goes_on(self) -> None:
        terminals: dict[str, list[Block]] = {}
        for part in self._parts:
            if isinstance(part, Block) and part.language == "console":
                terminals.setdefault(part.caption, []).append(part)
        for blocks in terminals.values():
            note_what_goes_on([entry for block in blocks for entry in self._entries[block.place]])

    def _free_port(self) -> int:
        port, keeper = free_port()
        self._ports.callback(keeper.close)
        return port

    def _usual_replacements(self) -> dict[str, str]:
        """Where a test differs from what a reader does."""
        python = sys.executable
        return {
            "$ python3 -m venv": f"$ {python} -m venv --without-pip",
            "$ pip install": f"$ {python} {installing.__file__}",
            "asgi-redis redis-server": f"asgi-redis redis-server --port {self.redis_port}",
            "manage.py runserver": f"manage.py runserver {self.web_port}",
            "uvicorn asgi_redis": f"uvicorn --port {self.web_port} asgi_redis",
            ":6379": f":{self.redis_port}",
            ":8000": f":{self.web_port}",
        }

    def _with_replacements(self, part: Prose | Block) -> Prose | Block:
        if isinstance(part, Prose):
            return Prose(self._replaced(part.text), part.place)
        return Block(part.language, part.caption, self._replaced(part.text), part.page, part.line)

    def _replaced(self, text: str) -> str:
        for old, new in self._replacements.items():
            text = text.replace(old, new)
        return text


def _environment_of_a_reader() -> dict[str, str]:
    """Return variables without those of the environment that runs the tests."""
    own = str(Path(sys.prefix) / "bin")
    path = os.pathsep.join(folder for folder in os.environ["PATH"].split(os.pathsep) if folder != own)
    environment = {name: value for name, value in os.environ.items() if name not in FOREIGN}
    more = {"PYTHONUNBUFFERED": "1", "PYTHONDONTWRITEBYTECODE": "1", "COLUMNS": "100", "NO_COLOR": "1"}
    return {**environment, **more, "PATH": path}
