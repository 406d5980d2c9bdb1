"""The types that users see: mypy accepts a project that uses all of the packages, and finds its mistakes."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import asgi_redis

HERE = Path(__file__).parent / "typing"
ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def errors(tmp_path_factory: pytest.TempPathFactory) -> list[re.Match[str]]:
    """The errors of mypy --strict, with file, line and code."""
    pytest.importorskip("mypy")
    is_installed = Path(asgi_redis.__file__).parents[1] != ROOT
    path = str(HERE) if is_installed else os.pathsep.join([str(HERE), str(ROOT)])
    cache = tmp_path_factory.mktemp("mypy")
    options = ["--strict", "--explicit-package-bases", "--config-file=", f"--cache-dir={cache}"]
    ran = subprocess.run(
        [sys.executable, "-m", "mypy", *options, "mysite", "rejected.py"],
        capture_output=True,
        text=True,
        cwd=HERE,
        env={**os.environ, "MYPYPATH": path},
        timeout=300,
    )
    assert ran.returncode == 1, ran.stdout + ran.stderr
    # Others are of libraries without types that the packages import.
    return list(re.finditer(r"^((?:mysite|rejected)\S+?):(\d+): error: .*\[([\w-]+)\]$", ran.stdout, re.M))


def test_a_project_that_uses_all_of_it_has_no_errors(errors: list[re.Match[str]]) -> None:
    assert [error[0] for error in errors if error[1] != "rejected.py"] == []


@pytest.mark.skipif(sys.version_info < (3, 10), reason="the last mypy for Python 3.9 has other codes for some")
def test_mistakes_are_found(errors: list[re.Match[str]]) -> None:
    lines = (HERE / "rejected.py").read_text().split("\n")
    expected = {
        (number, code)
        for number, line in enumerate(lines, 1)
        if "# E: " in line
        for code in line.rpartition("# E: ")[2].split()
    }
    assert {(int(error[2]), error[3]) for error in errors if error[1] == "rejected.py"} == expected
