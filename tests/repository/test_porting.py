"""The table of the names of Channels 1.1.8: what it says is here can be imported."""

from __future__ import annotations

import importlib
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

nodes = pytest.importorskip("docutils.nodes")
core = pytest.importorskip("docutils.core")
pytest.importorskip("tests.support.workers.project")  # models are imported, too

PAGE = Path(__file__).parents[2] / "docs" / "porting.rst"


def rows() -> Iterator[tuple[str, list[str], str, list[str]]]:
    """Yield the module, the names, the answer and the dotted paths in it of each row."""
    document = core.publish_doctree(PAGE.read_text(), settings_overrides={"file_insertion_enabled": False})
    for section in document.findall(nodes.section):
        title = section.next_node(nodes.title).astext()
        if not re.fullmatch(r"channels[.a-z0-9]*", title):
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


ROWS = list(rows())


def test_there_are_rows_and_each_has_an_answer() -> None:
    assert len(ROWS) > 40
    kinds = {answer.split(":")[0].split(",")[0].split(".")[0].split(";")[0].split()[0] for _, _, answer, _ in ROWS}
    assert {"the", "not"} <= kinds
    assert [answer for _, _, answer, _ in ROWS if answer.startswith("not here") and len(answer) < 20] == []


@pytest.mark.parametrize("row", ROWS, ids=lambda row: f"{row[0]}-{row[1][0]}")
def test_what_is_the_same_or_elsewhere_can_be_imported(row: tuple[str, list[str], str, list[str]]) -> None:
    module, names, answer, paths = row
    home = "workers" + module[len("channels") :]
    if answer.startswith("the same"):
        for name in names:
            found(f"{home}.{name}")
    elif not answer.startswith("not here"):
        found(paths[0])
    for path in paths:
        if re.fullmatch(r"(workers|asgi_redis)(\.\w+)+", path):
            found(path)


@pytest.mark.parametrize("row", [row for row in ROWS if row[2].startswith("not here")], ids=lambda row: row[1][0])
def test_what_is_not_here_is_not(row: tuple[str, list[str], str, list[str]]) -> None:
    for name in row[1]:
        with pytest.raises((ImportError, AttributeError)):
            found(f"workers{row[0][len('channels') :]}.{name}")
