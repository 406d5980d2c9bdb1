"""The role and the directive of measured numbers, in a site of one page."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.repository.test_figures import CONDITIONS, ROWS

ROOT = Path(__file__).parents[2]


@pytest.fixture
def build(tmp_path):
    """Build a site of one page; return the text of the page and the warnings."""
    pytest.importorskip("sphinx", reason="no sphinx: tox -e docs")
    table = {"title": "Rates", **CONDITIONS, "columns": ["ours", "old", "new", "times"], "rows": ROWS}
    (tmp_path / "ipc.json").write_text(json.dumps({"benchmark": "ipc", "tables": {"rates": table}}))
    (tmp_path / "conf.py").write_text(
        f"import sys\n"
        f"sys.path[:0] = [{str(ROOT / 'docs' / 'extensions')!r}, {str(ROOT)!r}]\n"
        f"extensions = ['figures']\n"
        f"measured_results = {str(tmp_path)!r}\n"
    )

    def build(text: str) -> tuple[str, str]:
        (tmp_path / "index.rst").write_text(f"Page\n====\n\n{text}\n")
        command = [sys.executable, "-m", "sphinx", "-q", "-b", "html", tmp_path, tmp_path / "built"]
        done = subprocess.run(command, capture_output=True, text=True)
        page = (tmp_path / "built" / "index.html").read_text()
        return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", page)), done.stderr

    return build


def test_the_role_is_a_number_with_two_digits(build):
    role = ":measured:`ipc/rates/send, 1 task/ours`"
    ratio = ":measured:`ipc/rates/send, 1 task/ours : old`"
    text, warnings = build(f"It makes {role} sends a second, {ratio} times as many.")
    assert "It makes 11,000 sends a second, 5.1 times as many." in text
    assert warnings == ""


def test_the_directive_is_a_table_and_its_conditions(build):
    text, warnings = build(".. measured-table:: ipc/rates\n   :head: call\n   :columns: ours | times\n")
    assert "call ours times send, 1 task calls a second 10,838 5.1 ping-pong, p50 µs 281 0.5" in text
    assert "Repeat it: python -m benchmarks.ipc --save . Measured on 2026-11-29. Medians of 3" in text
    assert warnings == ""


def test_the_directive_takes_rows_in_the_order_of_the_page(build):
    text, warnings = build(".. measured-table:: ipc/rates\n   :rows: ping-pong, p50 | send, 1 task\n")
    assert "ours old new times ping-pong, p50 µs 281 565 141 0.5 send, 1 task calls" in text
    assert "hangs" not in text
    assert warnings == ""


def test_an_address_that_leads_to_nothing_is_a_warning(build):
    _, warnings = build(
        ":measured:`ipc/rates/send, 2 tasks/ours`\n\n"
        ".. measured-table:: ipc/latencies\n\n"
        ".. measured-table:: ipc/rates\n   :columns: theirs\n\n"
        ".. measured-table:: ipc/rates\n   :rows: send\n"
    )
    for name in ("row 'send, 2 tasks'", "table 'ipc/latencies'", "column 'theirs'", "row 'send'"):
        assert re.search(rf"index.rst:\d+: WARNING: .*no {name}", warnings), warnings
