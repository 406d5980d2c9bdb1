"""Each row of the page of the differences from channels_redis has a test, and each test of it has a row."""

from __future__ import annotations

import ast
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "explanation" / "differences.rst"
TESTS = sorted(ROOT.glob("tests/behaviour/interop/test_differences*.py"))
MARK = "pytest.mark.difference"


def rows(text: str) -> Iterator[str]:
    """Yield the first cells of the rows of all tables, but for their heads."""
    is_head, cell = False, None
    for line in [*text.splitlines(), ""]:
        if line.startswith(".. list-table::"):
            is_head = True
        elif line.startswith("   * - "):
            cell = None if is_head else line[7:]
            is_head = False
        elif cell is not None and line.startswith("       "):
            cell += f" {line.strip()}"
        elif cell is not None:
            yield cell
            cell = None


def marks(path: Path) -> Iterator[tuple[str, list[str]]]:
    """Yield the tests of a file, and the rows that each of them holds."""
    for statement in ast.parse(path.read_text()).body:
        if isinstance(statement, ast.FunctionDef) and statement.name.startswith("test_"):
            calls = [one for one in statement.decorator_list if isinstance(one, ast.Call)]
            marked = [ast.literal_eval(word) for one in calls if ast.unparse(one.func) == MARK for word in one.args]
            yield statement.name, marked


def test_the_rows_of_a_page_are_the_first_cells():
    text = ".. list-table::\n\n   * - What\n     - a\n   * - one\n       more\n     - b\n   * - two\n     - c\n"
    assert list(rows(text)) == ["one more", "two"]


@pytest.mark.parametrize("row", [*rows(PAGE.read_text())])
def test_each_row_has_a_test(row):
    tests = [test for path in TESTS for test, held in marks(path) if row in held]
    assert tests, f"no test is marked with @{MARK}({row!r})"


@pytest.mark.parametrize("path", TESTS, ids=lambda path: path.name)
def test_each_test_has_a_row(path):
    there = Counter(rows(PAGE.read_text()))
    assert len(there) > 50
    assert set(there.values()) == {1}, "two rows are called the same"
    found = list(marks(path))
    assert found
    for test, held in found:
        assert held, f"{test} has no @{MARK} with a row of docs/explanation/differences.rst"
        assert set(held) <= set(there), test
