"""The base of the directives: reStructuredText that Sphinx parses in their place."""

from __future__ import annotations

import importlib
import re
import textwrap
from abc import abstractmethod
from collections.abc import Iterable
from typing import Any

from docutils.nodes import Node
from sphinx.util.docutils import SphinxDirective

_FIELD = re.compile(r":(?P<name>[\w-]+):\s*(?P<text>.*)")


class GeneratedDirective(SphinxDirective):
    """A directive that stands for the text that ``text`` returns."""

    @abstractmethod
    def text(self) -> str:
        """Return the text. Raises ``ValueError`` for a directive that is wrong."""

    def run(self) -> list[Node]:
        """Return the nodes of the text."""
        try:
            text = self.text()
        except ValueError as error:
            raise self.error(str(error)) from error
        return self.parse_text_to_nodes(text)

    def additions(self, known: Iterable[str]) -> dict[str, str]:
        """
        Return the fields of the content: more text for single entries, by name.

        Raises:
            ValueError: There is no entry of that name, or text that belongs to no field.
        """
        fields: dict[str, list[str]] = {}
        lines: list[str] | None = None
        for line in self.content:
            field = _FIELD.fullmatch(line)
            if field:
                lines = fields[field["name"]] = [field["text"]]
            elif lines is not None:
                lines.append(line)
            elif line.strip():
                raise ValueError(f"text before the first field: {line}")
        unknown = sorted(set(fields) - set(known))
        if unknown:
            raise ValueError(f"there is no {unknown[0]}; there are {', '.join(known)}")
        return {name: "\n".join([first, textwrap.dedent("\n".join(rest))]) for name, (first, *rest) in fields.items()}


def imported(path: str) -> Any:
    """Return the object of a dotted path."""
    module, _, name = path.rpartition(".")
    return getattr(importlib.import_module(module), name)


def indented(text: str, spaces: int = 3) -> str:
    """Return a text as the content of a directive or a definition."""
    return textwrap.indent(text.strip("\n"), " " * spaces)
