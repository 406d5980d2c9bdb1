"""The table of ``docs/reference/channels1_names.rst``: the names of Channels 1.1.8, and where they are here."""

from __future__ import annotations

import importlib
import re
from collections.abc import Iterator
from pathlib import Path

from docutils import nodes
from docutils.core import publish_doctree

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "channels1_names.rst"


def rows() -> Iterator[tuple[str, list[str], str, list[str]]]:
    """Yield the module, the names, the answer and the dotted paths in it of each row."""
    document = publish_doctree(PAGE.read_text(), settings_overrides={"file_insertion_enabled": False})
    for section in document.findall(nodes.section):
        title = section.next_node(nodes.title).astext()
        if not re.fullmatch(r"channels[\w.]*", title):
            continue
        for row in section.findall(nodes.row):
            names, answer = row.children
            if names.astext() != "Channels 1.1.8":
                literals = [[node.astext() for node in cell.findall(nodes.literal)] for cell in (names, answer)]
                yield title, literals[0], answer.astext(), literals[1]


def found(path: str) -> object:
    """Return the object at a dotted path; raise ``ImportError`` or ``AttributeError`` without one."""
    parts = path.split(".")
    for length in range(len(parts), 0, -1):
        try:
            thing: object = importlib.import_module(".".join(parts[:length]))
        except ModuleNotFoundError:
            continue
        for name in parts[length:]:
            thing = getattr(thing, name)
        return thing
    raise ImportError(path)
