"""The table of the names of Channels 1.1.8: what it says is here can be imported."""

from __future__ import annotations

import re

import pytest

pytest.importorskip("docutils")
pytest.importorskip("django")

from tests.support.porting_page import found, rows
from tests.support.workers import project

assert project  # it sets up Django: models are imported, too
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
